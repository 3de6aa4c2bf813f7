package redistest

import (
	"fmt"
	"net/url"
	"strings"
)

// Option changes how a server is started.
type Option func(*options)

type options struct {
	lines     []string // of the configuration file
	args      []string
	user      string // who the URL logs in as, "" for the default user
	userPass  string
	adminUser string
	password  string // of the default user
	tls       bool
	mutual    bool
	certs     *Certs
	cluster   bool
	proxied   bool
	sentinels int
}

// userinfo is the part of a URL that says who logs in.
func (o *options) userinfo() *url.Userinfo {
	switch {
	case o.user != "":
		return url.UserPassword(o.user, o.userPass)
	case o.password != "":
		return url.UserPassword("", o.password)
	}
	return nil
}

// certify makes certificates in dir where some are needed and none are there. Servers of a set share theirs: each trusts one
// authority.
func (o *options) certify(dir string) (err error) {
	if o.tls && o.certs == nil {
		o.certs, err = newCerts(dir)
	}
	return err
}

// Config adds lines to the configuration file, such as "maxmemory 10mb".
func Config(lines ...string) Option {
	return func(o *options) { o.lines = append(o.lines, lines...) }
}

// AppendOnly keeps what is written: "no" (nothing is kept over a restart; the default), "everysec" or "always".
func AppendOnly(when string) Option {
	if when == "no" {
		return Config("appendonly no")
	}
	return Config("appendonly yes", "appendfsync "+when)
}

// Memory limits the server's memory to so many bytes, and says what is evicted then, such as "allkeys-lru".
func Memory(limit int64, policy string) Option {
	return Config(fmt.Sprint("maxmemory ", limit), "maxmemory-policy "+policy)
}

// Password protects the default user; the URL has it.
func Password(password string) Option {
	return func(o *options) {
		o.password = password
		o.lines = append(o.lines, "requirepass "+quote(password), "masterauth "+quote(password))
	}
}

// User adds a user with rules of an access-control list, such as "~clic:*", "&clic:*", "+@all"; the URL logs in as that user.
func User(name, password string, rules ...string) Option {
	return func(o *options) {
		o.user, o.userPass = name, password
		o.lines = append(o.lines, fmt.Sprintf("user %s on %s %s", name, quote(">"+password), strings.Join(rules, " ")))
	}
}

// TLS makes the server speak TLS only, with certificates made for it.
func TLS() Option {
	return func(o *options) { o.tls = true; o.lines = append(o.lines, "tls-auth-clients no") }
}

// MutualTLS is TLS where clients must show a certificate, too.
func MutualTLS() Option {
	return func(o *options) { o.tls, o.mutual = true, true; o.lines = append(o.lines, "tls-auth-clients yes") }
}

// Proxied puts a proxy before each node of a Cluster, and has the nodes tell clients the proxies' addresses.
func Proxied() Option { return func(o *options) { o.proxied = true } }

// Sentinels says how many Sentinels watch; 1 unless told.
func Sentinels(n int) Option { return func(o *options) { o.sentinels = n } }

// quote writes a word for a configuration file.
func quote(word string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(word) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
