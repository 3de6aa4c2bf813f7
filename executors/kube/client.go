package kube

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"github.com/clic-orchestrator/clic/executors/kubeapi"
)

// connect makes the clients: one for requests, and one for watches. It does not talk to the cluster yet.
func (c *Config) connect() (client, streams *kubeapi.Client, err error) {
	r, err := kubeapi.Access(c.Kubeconfig, c.Context)
	if err != nil {
		return nil, nil, err
	}
	r.UserAgent = "clic"
	// Smaller, and a third of the work of JSON to read.
	r.ContentType = "application/vnd.kubernetes.protobuf"
	r.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	r.QPS, r.Burst = c.QPS, c.Burst
	if c.QPS == 0 {
		r.QPS = -1
	}
	r.WarningHandlerWithContext = warnings{c.Logger}
	if streams, err = kubeapi.New(forWatches(r)); err != nil {
		return nil, nil, err
	}
	// An answer comes in pieces, and nobody is in a hurry for it where there are many.
	r.Dial = dial(&net.Dialer{Timeout: callTimeout, KeepAlive: callTimeout}, &pace{pause: sip, spare: 16})
	client, err = kubeapi.New(r)
	return client, streams, err
}

// forWatches has each watch get a connection of its own: HTTP/1.1 lets the goroutine that waits for news read them itself, where HTTP/2
// hands every frame from one to another and has the server told how much was read.
func forWatches(like *rest.Config) *rest.Config {
	r := rest.CopyConfig(like)
	r.NextProtos = []string{"http/1.1"}
	// Nobody else notices that a node on the way is gone: HTTP/2 would ask the server every now and then.
	dialer := &net.Dialer{
		Timeout:         callTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3},
	}
	r.Dial = dial(dialer, nil)
	return r
}

// warnings logs what the API server says beside an answer.
type warnings struct{ log *slog.Logger }

func (w warnings) HandleWarningHeaderWithContext(_ context.Context, code int, _, text string) {
	if code == 299 && text != "" {
		w.log.Debug("the API server warns", "warning", text)
	}
}

// callTimeout bounds a request, so that a server that hangs is asked again.
const callTimeout = 30 * time.Second

// fate is what the answer to a request says of what became of it.
type fate uint8

const (
	// fateDone: the request was carried out.
	fateDone fate = iota
	// fateUnavailable: it was not carried out, because nobody could. It will be possible again.
	fateUnavailable
	// fateUnknown: nobody knows.
	fateUnknown
	// fateRefused: it was not carried out, and somebody else can change that: a quota, an admission rule, rights.
	fateRefused
	// fateWrong: it was not carried out, and never will be as it is.
	fateWrong
	// fateOther: it was not carried out.
	fateOther
)

func fateOf(err error) fate {
	switch {
	case err == nil:
		return fateDone
	case utilnet.IsConnectionRefused(err), notSent(err), apierrors.IsTooManyRequests(err):
		return fateUnavailable
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fateRefused
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err),
		apierrors.IsMethodNotSupported(err), apierrors.IsUnsupportedMediaType(err), apierrors.IsNotAcceptable(err):
		return fateWrong
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err), apierrors.IsInternalError(err),
		apierrors.IsServiceUnavailable(err), apierrors.IsUnexpectedServerError(err):
		return fateUnknown
	}
	if s := apierrors.APIStatus(nil); errors.As(err, &s) {
		if s.Status().Code >= 500 {
			return fateUnknown
		}
		return fateOther
	}
	return fateUnknown
}

// notSent reports whether a request never left, because the server was not found, or was too busy to shake hands.
func notSent(err error) bool {
	if strings.HasSuffix(err.Error(), "TLS handshake timeout") { // of a type of net/http's own
		return true
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	var dns *net.DNSError
	return errors.As(err, &dns) || errors.Is(err, syscall.EHOSTUNREACH)
}

// pause is how long to wait before a request is repeated for the n-th time: what the server asks for, or else a little more each time.
func pauseAfter(err error, n int) time.Duration {
	if err != nil {
		if s, ok := apierrors.SuggestsClientDelay(err); ok && s > 0 {
			return time.Duration(s) * time.Second
		}
	}
	return min(100*time.Millisecond<<min(n, 10), 5*time.Second)
}

// maxUnknown is how often a request is repeated that the server says it failed at.
const maxUnknown = 10

// insist repeats a request for as long as it is not known what became of it or nobody answers. The request has to be one that may be
// repeated.
func (e *Executor) insist(ctx context.Context, request func(ctx context.Context) error) error {
	for n := 0; ; n++ {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		err := request(call)
		cancel()
		if f := fateOf(err); f != fateUnavailable && (f != fateUnknown || n >= maxUnknown) {
			return err
		}
		if !e.sleep(ctx, pauseAfter(err, n)) {
			return errors.Join(e.stopped(ctx), err)
		}
	}
}

// sleep waits, and reports whether there is a point in going on.
func (e *Executor) sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	case <-e.ctx.Done():
		return false
	}
}
