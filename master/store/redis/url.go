package redis

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Target is a URL, taken apart.
type Target struct {
	// Addrs are hosts with ports: of the server, of some nodes of a Cluster, or of Sentinels.
	Addrs []string
	// DB is the number of the database; a Cluster has 0 only.
	DB       int
	User     string
	Password Secret
	// Master is the name under which Sentinels know the server; it makes Addrs the addresses of Sentinels.
	Master           string
	SentinelUser     string
	SentinelPassword Secret
	// Cluster says that the servers are a Redis Cluster. It is found out where a server says so itself.
	Cluster bool
	// TLS is nil without it.
	TLS *TLS
	// Timeout bounds reading an answer and writing a request, DialTimeout connecting.
	Timeout, DialTimeout time.Duration
}

// TLS says how to trust the server, and how to show it who the client is.
type TLS struct {
	// CA is a file of certificates in PEM that replaces those of the system. Cert and Key are the client's own.
	CA, Cert, Key string
	// ServerName is what the server's certificate must be for; the host unless set.
	ServerName string
	// Insecure accepts any certificate.
	Insecure bool
}

// Secret is text that is not printed.
type Secret string

// String hides the text.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "xxxxx"
}

// GoString hides the text.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText hides the text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

const (
	defaultPort         = "6379"
	defaultSentinelPort = "26379"
	defaultTimeout      = 3 * time.Second
	defaultDialTimeout  = 2 * time.Second
)

// ParseURL reads
//
//	redis://[[user]:password@]host[:port][,host[:port]…][/db][?option=value[&…]]
//
// and rediss:// for TLS. User and password are percent-encoded. Without a query it is a single server, or a Cluster if the
// server says that it is a node of one. The options:
//
//	cluster=true                      a Redis Cluster, of which the hosts are some nodes
//	master=NAME                       the hosts are Sentinels, which know the server under this name
//	sentinel-user, sentinel-password  how to log in to the Sentinels
//	timeout, dial-timeout             such as 3s, for an answer and for connecting
//	ca=FILE                           certificates (PEM) of who signs the server's
//	cert=FILE, key=FILE               the client's certificate
//	server-name                       what the server's certificate is for, if not the host
//	insecure=true                     takes any certificate
//
// Errors name the option that is wrong. They never have any part of a password.
//
// A user of an access-control list gets along with the rules ~PREFIX* &PREFIX* +@all -@admin -@dangerous +info. With
// +config|get, the store can see for itself that nothing is evicted.
func ParseURL(s string) (*Target, error) {
	t, err := parseURL(s)
	if err != nil {
		return nil, fmt.Errorf("cannot use Redis URL: %w", err)
	}
	return t, nil
}

func parseURL(s string) (*Target, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	t := &Target{Timeout: defaultTimeout, DialTimeout: defaultDialTimeout}
	switch {
	case ok && scheme == "redis":
	case ok && scheme == "rediss":
		t.TLS = &TLS{}
	default:
		return nil, errors.New("it must begin with redis:// or rediss://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if strings.Contains(path, "@") || strings.Contains(query, "@") {
		// What stands before it may be a part of the password, so nothing of it is repeated.
		return nil, errors.New("there is an @ after the hosts; in a password, / ? # @ and % are written as %2F %3F %23 %40 and %25")
	}
	hosts := authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		hosts = authority[at+1:]
		if err := t.login(authority[:at]); err != nil {
			return nil, err
		}
	}
	if err := t.options(query); err != nil {
		return nil, err
	}
	if err := t.hosts(hosts); err != nil {
		return nil, err
	}
	if path = strings.TrimSuffix(path, "/"); path != "" {
		db, err := strconv.ParseUint(path, 10, 16)
		if err != nil {
			return nil, errors.New("the database, after the hosts, must be a number")
		}
		t.DB = int(db)
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

// login reads user and password.
func (t *Target) login(s string) error {
	user, password, _ := strings.Cut(s, ":")
	var err error
	if t.User, err = url.PathUnescape(user); err != nil {
		return errors.New("the user is not percent-encoded as it should be")
	}
	if password, err = url.PathUnescape(password); err != nil {
		return errors.New("the password is not percent-encoded as it should be")
	}
	t.Password = Secret(password)
	return nil
}

func (t *Target) hosts(s string) error {
	port := defaultPort
	if t.Master != "" {
		port = defaultSentinelPort
	}
	for i, one := range strings.Split(s, ",") {
		addr, ok := address(one, port)
		if !ok {
			return fmt.Errorf("host number %d must be a name or an address, and perhaps a colon and a port", i+1)
		}
		t.Addrs = append(t.Addrs, addr)
	}
	return nil
}

// address adds the port to a host where it is missing.
func address(s, port string) (string, bool) {
	host := s
	if h, p, err := net.SplitHostPort(s); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", false
		}
		host, port = h, p
	} else if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		host = s[1 : len(s)-1]
	} else if strings.Contains(s, ":") {
		return "", false
	}
	for _, c := range host {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("-._:%", c) {
			return "", false
		}
	}
	return net.JoinHostPort(host, port), host != ""
}

// optionNames are the options of a URL.
var optionNames = []string{
	"cluster", "master", "sentinel-user", "sentinel-password", "timeout", "dial-timeout", "ca", "cert", "key", "server-name", "insecure",
}

// tlsNames are those that need rediss://.
var tlsNames = []string{"ca", "cert", "key", "server-name", "insecure"}

func (t *Target) options(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the options after ? are not percent-encoded as they should be")
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch {
		case !slices.Contains(optionNames, name):
			return fmt.Errorf("there is an unknown option; the options are %s", strings.Join(optionNames, ", "))
		case len(values[name]) != 1:
			return fmt.Errorf("option %s is set more than once", name)
		case t.TLS == nil && slices.Contains(tlsNames, name):
			return fmt.Errorf("option %s is for rediss:// only", name)
		}
		if err := t.option(name, values[name][0]); err != nil {
			return err
		}
	}
	return nil
}

func (t *Target) option(name, value string) (err error) {
	switch name {
	case "cluster":
		t.Cluster, err = strconv.ParseBool(value)
	case "master":
		t.Master = value
	case "sentinel-user":
		t.SentinelUser = value
	case "sentinel-password":
		t.SentinelPassword = Secret(value)
	case "timeout":
		t.Timeout, err = time.ParseDuration(value)
	case "dial-timeout":
		t.DialTimeout, err = time.ParseDuration(value)
	case "ca":
		t.TLS.CA = value
	case "cert":
		t.TLS.Cert = value
	case "key":
		t.TLS.Key = value
	case "server-name":
		t.TLS.ServerName = value
	case "insecure":
		t.TLS.Insecure, err = strconv.ParseBool(value)
	}
	if err != nil {
		return fmt.Errorf("option %s has a value that it cannot have", name)
	}
	return nil
}

// check looks at what does not go together.
func (t *Target) check() error {
	switch {
	case t.Cluster && t.Master != "":
		return errors.New("options cluster and master exclude each other")
	case t.Cluster && t.DB != 0:
		return errors.New("a Redis Cluster has database 0 only")
	case t.Master == "" && (t.SentinelUser != "" || t.SentinelPassword != ""):
		return errors.New("options sentinel-user and sentinel-password need option master")
	case t.Timeout <= 0:
		return errors.New("option timeout must be more than 0")
	case t.DialTimeout <= 0:
		return errors.New("option dial-timeout must be more than 0")
	case t.TLS != nil && (t.TLS.Cert == "") != (t.TLS.Key == ""):
		return errors.New("options cert and key need each other")
	}
	return nil
}

// String is the address for people, without user and password.
func (t *Target) String() string {
	scheme := "redis"
	if t.TLS != nil {
		scheme = "rediss"
	}
	s := fmt.Sprintf("%s://%s/%d", scheme, strings.Join(t.Addrs, ","), t.DB)
	switch {
	case t.Master != "":
		s += "?master=" + url.QueryEscape(t.Master)
	case t.Cluster:
		s += "?cluster=true"
	}
	return s
}
