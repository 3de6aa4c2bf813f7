package hadoop

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
)

// defaultPort is where a namenode listens whose address has no port.
const defaultPort = "8020"

// Default gives the authority of fs.defaultFS, "" if that is not set or no hdfs:// URI.
func (p Properties) Default() (string, error) {
	name := "fs.defaultFS"
	if _, ok := p.values[name]; !ok {
		name = "fs.default.name"
	}
	value, err := p.Get(name)
	if err != nil || value == "" {
		return "", err
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" {
		return "", p.problem(name, "%q is no URI", value)
	}
	if u.Scheme != "hdfs" {
		return "", nil
	}
	return u.Host, nil
}

// Nameservices gives the names of all that the configuration calls by name.
func (p Properties) Nameservices() ([]string, error) { return p.list("dfs.nameservices") }

// Config says how to reach the HDFS of an authority: a nameservice, HOST:PORT, or HOST. The empty one is the default file system's.
// Who the client is by Kerberos is not in Hadoop's files and remains to be set.
func (p Properties) Config(authority string) (Config, error) {
	var c Config
	if authority == "" {
		var err error
		if authority, err = p.Default(); err != nil {
			return Config{}, err
		}
		if authority == "" {
			return Config{}, &Error{Property: "fs.defaultFS", Problem: "it names no HDFS, so that a URI has to: hdfs://NAME/path"}
		}
	}
	c.Name = authority
	var err error
	if c.Namenodes, c.HTTP, err = p.addresses(authority); err != nil {
		return Config{}, err
	}
	if err := p.client(&c); err != nil {
		return Config{}, err
	}
	return c, nil
}

// addresses gives the addresses of the namenodes of an authority, and those for WebHDFS.
func (p Properties) addresses(authority string) (rpc, web []string, err error) {
	services, err := p.Nameservices()
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains(services, authority) {
		return p.single(authority)
	}
	ids, err := p.list("dfs.ha.namenodes." + authority)
	if err != nil {
		return nil, nil, err
	}
	suffixes := []string{"." + authority}
	if len(ids) > 0 {
		suffixes = nil
		for _, id := range ids {
			suffixes = append(suffixes, "."+authority+"."+id)
		}
	}
	for _, suffix := range suffixes {
		name := "dfs.namenode.rpc-address" + suffix
		address, err := p.Get(name)
		if err != nil {
			return nil, nil, err
		}
		if address = withPort(address); checkAddress(address) != "" {
			return nil, nil, p.problem(name, "the nameservice %q needs it as HOST:PORT", authority)
		}
		rpc = append(rpc, address)
		if web, err = p.web(web, suffix); err != nil {
			return nil, nil, err
		}
	}
	return rpc, web, nil
}

// single is addresses for what is no nameservice: a host.
func (p Properties) single(authority string) (rpc, web []string, err error) {
	address := withPort(authority)
	if problem := checkAddress(address); problem != "" {
		return nil, nil, &Error{Property: "dfs.nameservices", Problem: "it does not name the authority, and " + problem}
	}
	// The namenode's HTTP address is known only where this is the namenode that the files are about.
	if own, err := p.Get("dfs.namenode.rpc-address"); err != nil {
		return nil, nil, err
	} else if def, err := p.Default(); err != nil {
		return nil, nil, err
	} else if withPort(own) == address || withPort(def) == address {
		web, err = p.web(nil, "")
		return []string{address}, web, err
	}
	return []string{address}, nil, nil
}

// web adds a namenode's HTTP address to a list, if the configuration has it.
func (p Properties) web(list []string, suffix string) ([]string, error) {
	name, scheme := "dfs.namenode.http-address", "http://"
	if policy, err := p.Get("dfs.http.policy"); err != nil {
		return nil, err
	} else if strings.EqualFold(policy, "HTTPS_ONLY") {
		name, scheme = "dfs.namenode.https-address", "https://"
	}
	address, err := p.Get(name + suffix)
	if err != nil || address == "" {
		return list, err
	}
	if problem := checkAddress(address); problem != "" {
		return nil, p.problem(name+suffix, "%s", problem)
	}
	return append(list, scheme+address), nil
}

// withPort adds the namenodes' usual port where there is none.
func withPort(address string) string {
	var noPort *net.AddrError
	if _, _, err := net.SplitHostPort(address); errors.As(err, &noPort) && address != "" && noPort.Err == "missing port in address" {
		return net.JoinHostPort(strings.Trim(address, "[]"), defaultPort)
	}
	return address
}

// client sets what the files say of a client's behaviour.
func (p Properties) client(c *Config) error {
	var errs []error
	fail := func(err error) { errs = append(errs, err) }
	var err error
	c.DatanodeHostnames, err = p.bool("dfs.client.use.datanode.hostname")
	fail(err)
	c.BlockSize, err = p.size("dfs.blocksize")
	fail(err)
	if c.BlockSize != 0 && (c.BlockSize < 64<<10 || c.BlockSize%512 != 0) {
		fail(p.problem("dfs.blocksize", "%d is no multiple of 512 from 65536 on", c.BlockSize))
	}
	replication, err := p.size("dfs.replication")
	fail(err)
	if replication > 512 {
		fail(p.problem("dfs.replication", "%d is not from 1 to 512", replication))
	}
	c.Replication = int(min(replication, 512))
	c.ConnectTimeout, err = p.duration("ipc.client.connect.timeout")
	fail(err)
	c.CallTimeout, err = p.duration("ipc.client.rpc-timeout.ms")
	fail(err)
	c.DataTimeout, err = p.duration("dfs.client.socket-timeout")
	fail(err)
	fail(p.security(c))
	return errors.Join(errs...)
}

// security sets what the files say of Kerberos and of the protection of data.
func (p Properties) security(c *Config) error {
	how, err := p.Get("hadoop.security.authentication")
	if err != nil {
		return err
	}
	switch strings.ToLower(how) {
	case "", "simple":
	case "kerberos":
		principal, err := p.Get("dfs.namenode.kerberos.principal")
		if err != nil {
			return err
		}
		if c.Kerberos.Service, _, _ = strings.Cut(principal, "@"); c.Kerberos.Service == "" {
			return p.problem("dfs.namenode.kerberos.principal", "it is needed where hadoop.security.authentication is kerberos")
		}
	default:
		return p.problem("hadoop.security.authentication", "%q is neither simple nor kerberos", how)
	}
	levels, err := p.list("dfs.data.transfer.protection")
	if err != nil {
		return err
	}
	order := []string{"authentication", "integrity", "privacy"}
	for _, level := range levels {
		level = strings.ToLower(level)
		i := slices.Index(order, level)
		if i < 0 {
			return p.problem("dfs.data.transfer.protection", "%q is none of %s", level, strings.Join(order, ", "))
		}
		if i > slices.Index(order, c.Protection) {
			c.Protection = level
		}
	}
	if encrypt, err := p.bool("dfs.encrypt.data.transfer"); err != nil {
		return err
	} else if encrypt {
		c.Protection = "privacy"
	}
	return nil
}
