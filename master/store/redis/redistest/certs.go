package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Certs are the files, in PEM, of an authority and of certificates that it signed, for a server at 127.0.0.1 and for its clients.
type Certs struct {
	CA, Cert, Key         string
	ClientCert, ClientKey string

	client *tls.Config
}

// newCerts makes all of them in dir.
func newCerts(dir string) (*Certs, error) {
	file := func(name string) string { return filepath.Join(dir, name) }
	c := &Certs{
		CA: file("ca.pem"), Cert: file("server.pem"), Key: file("server.key"),
		ClientCert: file("client.pem"), ClientKey: file("client.key"),
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redistest authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := issue(ca, ca, caKey, caKey, c.CA, ""); err != nil {
		return nil, err
	}
	leaf := func(serial int64, name, cert, key string) error {
		leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		return issue(&x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
			// Servers of a Cluster are each other's clients.
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		}, ca, leafKey, caKey, cert, key)
	}
	if err := leaf(2, "redistest server", c.Cert, c.Key); err != nil {
		return nil, err
	}
	if err := leaf(3, "redistest client", c.ClientCert, c.ClientKey); err != nil {
		return nil, err
	}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// load makes the configuration of a client.
func (c *Certs) load() error {
	pair, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.CA)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	c.client = &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	return nil
}

// query is the part of a URL that names the files.
func (c *Certs) query(mutual bool) string {
	q := url.Values{"ca": {c.CA}}
	if mutual {
		q.Set("cert", c.ClientCert)
		q.Set("key", c.ClientKey)
	}
	return q.Encode()
}

// issue signs a certificate and writes it, and its key if a file is named for it.
func issue(cert, parent *x509.Certificate, own, signer *ecdsa.PrivateKey, certFile, keyFile string) error {
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &own.PublicKey, signer)
	if err != nil {
		return err
	}
	if err := writePEM(certFile, "CERTIFICATE", der); err != nil || keyFile == "" {
		return err
	}
	if der, err = x509.MarshalPKCS8PrivateKey(own); err != nil {
		return err
	}
	return writePEM(keyFile, "PRIVATE KEY", der)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
