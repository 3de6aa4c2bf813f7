package webhdfs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
)

const (
	prefix = "/webhdfs/v1"
	// maxAnswer bounds an answer that is no content of a file. A batch of a listing has a thousand entries.
	maxAnswer = 16 << 20
	// maxError bounds what is read of an answer that says that something failed.
	maxError = 64 << 10
	// pause is the first pause before a call is repeated; it doubles up to maxPause.
	pause    = 100 * time.Millisecond
	maxPause = 2 * time.Second
)

// errClosed is what calls give after Close.
var errClosed = fmt.Errorf("%w: it was closed", dfs.ErrUnavailable)

// errSlow ends a request that has not gone on in time.
var errSlow = fmt.Errorf("%w: no answer in time", dfs.ErrUnavailable)

// errTransport marks errors of the connection: no answer came.
var errTransport = errors.New("cannot talk to the server")

// errUnsent marks those among them after which it is certain that the server has not seen the request.
var errUnsent = errors.New("cannot connect")

func newClient(cfg Config) *http.Client {
	dialer := &net.Dialer{Timeout: cfg.ConnectTimeout, KeepAlive: 15 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         dialer.DialContext,
			TLSClientConfig:     cfg.TLS,
			TLSHandshakeTimeout: cfg.ConnectTimeout,
			MaxIdleConnsPerHost: 8,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true, // lengths are compared
			// No proxy from the environment: what is reached is what is configured.
		},
		// Redirects are followed by hand.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// request is a call of the protocol.
type request struct {
	method, op, name string
	query            [][2]string
	// again says that the call may be made again when it is not known whether it was carried out.
	again bool
	// silent is set when the answer had no content.
	silent bool
}

// escape encodes one element of a path, or a value of a query, so that no server takes a character for another.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// escapePath encodes a path.
func escapePath(name string) string {
	elements := strings.Split(name, "/")
	for i := range elements {
		elements[i] = escape(elements[i])
	}
	return strings.Join(elements, "/")
}

// url is the request's URL on a server.
func (f *FS) url(server *url.URL, r *request) *url.URL {
	var q strings.Builder
	q.WriteString("op=" + r.op)
	if f.cfg.Token != "" {
		q.WriteString("&delegation=" + escape(f.cfg.Token))
	} else {
		q.WriteString("&user.name=" + escape(f.cfg.User))
	}
	for _, p := range r.query {
		q.WriteString("&" + p[0] + "=" + escape(p[1]))
	}
	return &url.URL{Scheme: server.Scheme, Host: server.Host, Path: prefix + r.name, RawPath: prefix + escapePath(r.name), RawQuery: q.String()}
}

// with gives a context that also ends with the file system, and whose cause says so.
func (f *FS) with(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(f.life, func() { cancel(errClosed) })
	return ctx, func(cause error) {
		stop()
		cancel(cause)
	}
}

// call makes a request and decodes the answer. Calls that were certainly not carried out are made again, on the next server, for as
// long as Config.RetryFor; those that may be repeated also when that is not certain.
func (f *FS) call(ctx context.Context, r *request, answer any) error {
	ctx, cancel := f.with(ctx)
	defer cancel(nil)
	return f.retry(ctx, r.again, func(server *url.URL) error {
		res, err := f.send(ctx, r.method, f.url(server, r), nil, true)
		if err != nil {
			return err
		}
		next, err := f.redirect(res, server, r)
		if err != nil {
			res.close()
			return err
		}
		if next != nil {
			res.close()
			if res, err = f.send(ctx, r.method, next, nil, true); err != nil {
				return err
			}
		}
		defer res.close()
		return decode(res, answer)
	})
}

// decode reads a whole answer.
func decode(res *reply, answer any) error {
	if res.code < 200 || res.code > 299 {
		return remoteError(res)
	}
	body, err := io.ReadAll(io.LimitReader(res.body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%w: %w: %w", dfs.ErrUnavailable, errTransport, err)
	}
	return parseAnswer(body, answer)
}

// parseAnswer decodes an answer of success, which may be empty.
func parseAnswer(body []byte, answer any) error {
	switch {
	case len(body) > maxAnswer:
		return fmt.Errorf("%w: it is longer than %d bytes", errAnswer, maxAnswer)
	case len(bytes.TrimSpace(body)) == 0 || answer == nil:
		return nil
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	return nil
}

// remoteError reads an answer that says that something failed.
func remoteError(res *reply) error {
	body, err := io.ReadAll(io.LimitReader(res.body, maxError))
	if err != nil {
		body = nil
	}
	return parseError(res.code, body)
}

// retry calls do with one server after the other.
func (f *FS) retry(ctx context.Context, again bool, do func(server *url.URL) error) error {
	begin := time.Now()
	wait := pause
	for {
		if f.life.Err() != nil {
			return errClosed
		}
		var err error
		for range f.servers {
			at := f.first.Load()
			err = do(f.servers[at])
			sure := errors.Is(err, errUnsent) || elsewhere(err)
			unclear := again && errors.Is(err, dfs.ErrUnavailable) && !errors.Is(err, errLength)
			if err == nil || !sure && !unclear {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			f.first.CompareAndSwap(at, (at+1)%int32(len(f.servers)))
		}
		if time.Since(begin)+wait > f.cfg.RetryFor {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
		wait = min(2*wait, maxPause)
	}
}

// reply is an answer whose body is still to be read.
type reply struct {
	code   int
	header http.Header
	// length is that of the body, -1 where it is not known.
	length int64
	body   io.ReadCloser
	done   func()
}

// close ends the answer. A short rest is read so that the connection can be used again.
func (r *reply) close() {
	_, _ = io.CopyN(io.Discard, r.body, 4<<10)
	r.abandon()
}

// abandon ends the answer and its connection at once.
func (r *reply) abandon() {
	_ = r.body.Close()
	r.done()
}

// send makes one HTTP request. Where timed is set, all of it has to be done within Config.CallTimeout; else the context bounds it.
func (f *FS) send(ctx context.Context, method string, u *url.URL, body io.Reader, timed bool) (*reply, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := func() { cancel(nil) }
	if timed {
		timer := time.AfterFunc(f.cfg.CallTimeout, func() { cancel(errSlow) })
		done = func() {
			timer.Stop()
			cancel(nil)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		done()
		return nil, fmt.Errorf("%w: %w", dfs.ErrInvalid, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	res, err := f.client.Do(req) //nolint:bodyclose // the reply's close and abandon do it
	if err != nil {
		err = broken(ctx, err)
		done()
		return nil, err
	}
	return &reply{code: res.StatusCode, header: res.Header, length: res.ContentLength, body: res.Body, done: done}, nil
}

// broken is the error of a request that got no answer.
func broken(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return fmt.Errorf("%w: %w: %w", dfs.ErrUnavailable, errUnsent, plain(err))
	}
	return fmt.Errorf("%w: %w: %w", dfs.ErrUnavailable, errTransport, plain(err))
}

// plain is an error of the HTTP client without the URL, in which a token may stand.
func plain(err error) error {
	var in *url.Error
	if errors.As(err, &in) {
		return in.Err
	}
	return err
}

// redirect gives where an answer redirects to, nil where it does not. It is the same path and operation on another host.
func (f *FS) redirect(res *reply, server *url.URL, r *request) (*url.URL, error) {
	if res.code != http.StatusTemporaryRedirect {
		return nil, nil
	}
	to, err := parseRedirect(res.header.Get("Location"), server, r.op)
	if err != nil {
		return nil, err
	}
	if err := f.allowed(to.Hostname(), server.Hostname()); err != nil {
		return nil, err
	}
	// The path is ours: servers encode odd names in their own ways.
	to.Path, to.RawPath = prefix+r.name, prefix+escapePath(r.name)
	return to, nil
}

// parseRedirect checks an address that a server redirects to.
func parseRedirect(location string, server *url.URL, op string) (*url.URL, error) {
	to, err := url.Parse(location)
	if err != nil || to.Hostname() == "" || to.User != nil || to.Scheme != "http" && to.Scheme != "https" || !strings.HasPrefix(to.Path, prefix+"/") {
		return nil, fmt.Errorf("%w: it redirects to what is no address of WebHDFS", errAnswer)
	}
	if server.Scheme == "https" && to.Scheme != "https" {
		return nil, fmt.Errorf("%w: it redirects from an encrypted connection to one that is not", errAnswer)
	}
	if q, err := url.ParseQuery(to.RawQuery); err != nil || !strings.EqualFold(q.Get("op"), op) {
		return nil, fmt.Errorf("%w: it redirects to another operation", errAnswer)
	}
	return &url.URL{Scheme: to.Scheme, Host: to.Host, RawQuery: to.RawQuery}, nil
}

// allowed says whether a server may redirect to a host.
func (f *FS) allowed(host, server string) error {
	if strings.EqualFold(host, server) {
		return nil
	}
	for _, pattern := range f.cfg.RedirectHosts {
		domain, below := strings.CutPrefix(pattern, "*")
		if strings.EqualFold(host, pattern) || below && strings.HasSuffix(strings.ToLower(host), strings.ToLower(domain)) {
			return nil
		}
	}
	address, err := netip.ParseAddr(host)
	linkLocal := err == nil && address.Unmap().IsLinkLocalUnicast()
	if len(f.cfg.RedirectHosts) == 0 && !linkLocal {
		return nil
	}
	return fmt.Errorf("%w: the server redirects to the host %q, which the configuration does not allow", errRedirect, host)
}

// errRedirect is not unavailability: it will not go away by itself.
var errRedirect = fmt.Errorf("%w: redirected", dfs.ErrInvalid)

// watch ends a request that does not go on. It is wound before each piece of data, and stopped while nobody waits.
type watch struct {
	timeout time.Duration
	timer   *time.Timer
}

// watched gives a context that ends with the cause errSlow when its watch runs down.
func watched(ctx context.Context, timeout time.Duration) (context.Context, *watch, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &watch{timeout: timeout, timer: time.AfterFunc(timeout, func() { cancel(errSlow) })}, cancel
}

// wind gives the request the whole time again.
func (w *watch) wind() { w.timer.Reset(w.timeout) }

func (w *watch) stop() { w.timer.Stop() }
