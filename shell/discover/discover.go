// Package discover finds out which master the shell talks to, and can say where that came from: --master, the variable
// CLIC_MASTER, a master-info.config file, or the default.
package discover

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Defaults.
const (
	// DefaultAddress is where a master without configuration listens.
	DefaultAddress = "127.0.0.1:7777"
	// DefaultPort is the port where an address names none.
	DefaultPort = "7777"
	// SystemFile is the configuration file where CLIC_HOME names no other.
	SystemFile = "/data/conf/master-info.config"
)

// Env are the environment variables that are asked for.
const (
	EnvMaster = "CLIC_MASTER"
	EnvHome   = "CLIC_HOME"
)

// Master is a master's address and where it came from.
type Master struct {
	// Address is host:port, or several of them with commas between them: masters that share a store.
	Address string `json:"address"`
	// Source says where the address came from, for people: "--master", "CLIC_MASTER", a file's path, "the default".
	Source string `json:"source"`
	// File is the configuration file that was read, or "".
	File string `json:"file,omitempty"`
}

// Error is a configuration that cannot be used.
type Error struct {
	// Where is file:line, or the name of the option or variable.
	Where string
	Err   error
}

// Error says where the mistake is, and what it is.
func (e *Error) Error() string { return e.Where + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Finder looks for the master. The zero value of SystemFile means the constant of that name.
type Finder struct {
	// Flag is the value of --master, or "".
	Flag string
	// Getenv reads the environment.
	Getenv func(string) string
	// SystemFile replaces the constant SystemFile, for tests.
	SystemFile string
}

// Files are the configuration files that are looked at, in order. The first that exists is read, no other.
func (f Finder) Files() []string {
	var files []string
	if home := f.Getenv(EnvHome); home != "" {
		files = append(files, filepath.Join(home, "conf", "master-info.config"))
	}
	if f.SystemFile != "" {
		return append(files, f.SystemFile)
	}
	return append(files, SystemFile)
}

// Find gives the master. Its errors are *Error.
func (f Finder) Find() (Master, error) {
	if f.Flag != "" {
		return named(f.Flag, "--master")
	}
	if v := f.Getenv(EnvMaster); v != "" {
		return named(v, EnvMaster)
	}
	for _, file := range f.Files() {
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Master{}, &Error{Where: file, Err: errors.Unwrap(err)}
		}
		values, err := Parse(file, string(b))
		if err != nil {
			return Master{}, err
		}
		return values.master(file)
	}
	return Master{Address: DefaultAddress, Source: "the default"}, nil
}

func named(value, source string) (Master, error) {
	address, err := ParseAddresses(value, DefaultPort)
	if err != nil {
		return Master{}, &Error{Where: source, Err: err}
	}
	return Master{Address: address, Source: source}, nil
}

// ParseAddresses checks a list of addresses with commas between them, and completes those without a port.
func ParseAddresses(list, port string) (string, error) {
	all := strings.Split(list, ",")
	for i, one := range all {
		address, err := parse(one, port)
		if err != nil {
			return "", err
		}
		all[i] = address
	}
	return strings.Join(all, ","), nil
}

// ParseAddress checks host, host:port or [v6]:port, and completes the port.
func ParseAddress(s string) (string, error) { return parse(s, DefaultPort) }

func parse(s, standard string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", errors.New("the address is empty (host:port is expected)")
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		// Without a port: a name, an IPv4 address, or an IPv6 address with or without brackets.
		host, port = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), standard
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", fmt.Errorf("%q is not an address (host:port is expected)", s)
		}
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if strings.ContainsAny(host, " \t/\"',") {
		return "", fmt.Errorf("%q is not an address (host:port is expected, without a scheme)", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q is not a port (1 to 65535)", port)
	}
	return net.JoinHostPort(host, port), nil
}

// Entry is a value of a configuration file, and the line it stands on.
type Entry struct {
	Value string
	Line  int
}

// Values are the keys of a configuration file.
type Values map[string]Entry

func (v Values) master(file string) (Master, error) {
	ip, ok := v["ip"]
	if !ok || ip.Value == "" {
		return Master{}, &Error{Where: file, Err: errors.New("has no \"ip=\" line that names the master's host")}
	}
	port, where := DefaultPort, ip.Line
	if p, ok := v["port"]; ok && p.Value != "" {
		port, where = p.Value, p.Line
	}
	address, err := ParseAddresses(ip.Value, port)
	if err != nil {
		return Master{}, &Error{Where: fmt.Sprintf("%s:%d", file, where), Err: err}
	}
	return Master{Address: address, Source: file, File: file}, nil
}
