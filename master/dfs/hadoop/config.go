// Package hadoop is how clients reach an HDFS, read from Hadoop's own files (core-site.xml, hdfs-site.xml) or set field by field.
package hadoop

import (
	"fmt"
	"net"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config says how to reach one HDFS and how to work with it. Its zero fields take the values of WithDefaults.
type Config struct {
	// Name is what URIs call it: the nameservice, or HOST:PORT of its only namenode.
	Name string
	// Namenodes are the addresses (HOST:PORT) of its namenodes. Which of several is the active one is found out, and again after a
	// fail-over.
	Namenodes []string
	// HTTP are the addresses of the same namenodes for WebHDFS, as URLs (http://HOST:PORT).
	HTTP []string
	// User is who clients are, without Kerberos: the user of this process unless set.
	User string
	// Kerberos says how clients prove who they are; without a Principal of the service they only say it.
	Kerberos Kerberos
	// Protection is what datanodes are told to do about the data on its way: "", authentication, integrity or privacy.
	Protection string
	// DatanodeHostnames has datanodes reached by their names, not by the addresses that the namenode knows.
	DatanodeHostnames bool
	// Replication is how many copies a new file has, 0 for what the namenode wants; at most 512.
	Replication int
	// BlockSize is that of new files in bytes, 0 for what the namenode wants; a multiple of 512, at least 64 KiB.
	BlockSize int64
	// ConnectTimeout bounds the making of a connection; CallTimeout the wait for a namenode's answer, DataTimeout the wait for the
	// next bytes or acknowledgement of a datanode.
	ConnectTimeout, CallTimeout, DataTimeout time.Duration
	// RetryFor is how long calls that may be repeated are repeated while the file system is not available.
	RetryFor time.Duration
}

// Kerberos is who a client is and how it proves it: by a key table, or by the tickets that kinit left in a file.
type Kerberos struct {
	// Service is the namenodes' principal without its realm (nn/_HOST). Kerberos is used where it is set.
	Service string
	// Principal is the client's (name@REALM), Keytab the file with its key.
	Principal, Keytab string
	// Cache is a file of tickets, used where Keytab is not set.
	Cache string
	// Configuration is the file krb5.conf.
	Configuration string
}

// Enabled says whether Kerberos is used.
func (k Kerberos) Enabled() bool { return k.Service != "" }

// WithDefaults gives the configuration with what is not set filled in.
func (c Config) WithDefaults() Config {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&c.ConnectTimeout, 5*time.Second)
	set(&c.CallTimeout, 15*time.Second)
	set(&c.DataTimeout, 20*time.Second)
	set(&c.RetryFor, 20*time.Second)
	if c.Name == "" && len(c.Namenodes) == 1 {
		c.Name = c.Namenodes[0]
	}
	if c.User == "" {
		if u, err := user.Current(); err == nil {
			c.User = u.Username
		}
	}
	if c.Kerberos.Enabled() && c.Kerberos.Configuration == "" {
		c.Kerberos.Configuration = "/etc/krb5.conf"
	}
	return c
}

// Over gives the fields of c where they are set, and those of base where they are not.
func (c Config) Over(base Config) Config {
	choose(&c.Name, base.Name)
	choose(&c.User, base.User)
	choose(&c.Protection, base.Protection)
	choose(&c.DatanodeHostnames, base.DatanodeHostnames)
	choose(&c.Replication, base.Replication)
	choose(&c.BlockSize, base.BlockSize)
	choose(&c.ConnectTimeout, base.ConnectTimeout)
	choose(&c.CallTimeout, base.CallTimeout)
	choose(&c.DataTimeout, base.DataTimeout)
	choose(&c.RetryFor, base.RetryFor)
	choose(&c.Kerberos.Service, base.Kerberos.Service)
	choose(&c.Kerberos.Principal, base.Kerberos.Principal)
	choose(&c.Kerberos.Keytab, base.Kerberos.Keytab)
	choose(&c.Kerberos.Cache, base.Kerberos.Cache)
	choose(&c.Kerberos.Configuration, base.Kerberos.Configuration)
	if len(c.Namenodes) == 0 {
		c.Namenodes = slices.Clone(base.Namenodes)
	}
	if len(c.HTTP) == 0 {
		c.HTTP = slices.Clone(base.HTTP)
	}
	return c
}

func choose[T comparable](v *T, base T) {
	var zero T
	if *v == zero {
		*v = base
	}
}

// Validate says what is wrong with a configuration that has its defaults, as an *Error.
func (c Config) Validate() error {
	bad := func(field, format string, args ...any) error {
		return &Error{Property: field, Problem: fmt.Sprintf(format, args...)}
	}
	if len(c.Namenodes) == 0 {
		return bad("Namenodes", "there is none")
	}
	if len(c.Namenodes) > 16 {
		return bad("Namenodes", "%d are too many", len(c.Namenodes))
	}
	for _, address := range c.Namenodes {
		if problem := checkAddress(address); problem != "" {
			return bad("Namenodes", "%s", problem)
		}
	}
	if c.User == "" && !c.Kerberos.Enabled() {
		return bad("User", "it is not set, and who this process belongs to is not known")
	}
	if k := c.Kerberos; k.Enabled() && k.Cache == "" && (k.Keytab == "" || k.Principal == "") {
		return bad("Kerberos", "the namenodes want it: set Principal and Keytab, or Cache")
	}
	if c.Kerberos.Principal != "" && c.Kerberos.Keytab != "" && !strings.Contains(c.Kerberos.Principal, "@") {
		return bad("Kerberos", "the principal %q has no @REALM", c.Kerberos.Principal)
	}
	if !slices.Contains([]string{"", "authentication", "integrity", "privacy"}, c.Protection) {
		return bad("Protection", "%q is none of authentication, integrity, privacy", c.Protection)
	}
	if c.Replication < 0 || c.Replication > 512 {
		return bad("Replication", "%d is not from 1 to 512", c.Replication)
	}
	if c.BlockSize != 0 && (c.BlockSize < 64<<10 || c.BlockSize%512 != 0) {
		return bad("BlockSize", "%d is no multiple of 512 from 65536 on", c.BlockSize)
	}
	for name, d := range map[string]time.Duration{
		"ConnectTimeout": c.ConnectTimeout, "CallTimeout": c.CallTimeout, "DataTimeout": c.DataTimeout, "RetryFor": c.RetryFor,
	} {
		if d <= 0 || d > 24*time.Hour {
			return bad(name, "%s is not above 0 and up to 24 hours", d)
		}
	}
	return nil
}

// checkAddress says what is wrong with HOST:PORT.
func checkAddress(address string) string {
	host, port, err := net.SplitHostPort(address)
	n, notNumber := strconv.Atoi(port)
	if err != nil || host == "" || notNumber != nil || n < 1 || n > 65535 || strings.ContainsAny(host, "/@?# ") {
		return fmt.Sprintf("%q is not HOST:PORT", address)
	}
	return ""
}
