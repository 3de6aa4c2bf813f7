package spark

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/clic-orchestrator/clic/executors"
)

// part restricts a log to the bytes that are asked for.
func part(log io.ReadCloser, o executors.LogOptions) (io.ReadCloser, error) {
	if o.Offset == 0 && o.Limit <= 0 {
		return log, nil
	}
	type closer struct {
		io.Reader
		io.Closer
	}
	var r io.Reader = log
	switch {
	case o.Offset > 0:
		if _, err := io.CopyN(io.Discard, log, o.Offset); err != nil && !errors.Is(err, io.EOF) {
			return nil, errors.Join(fmt.Errorf("cannot read the log: %w", err), log.Close())
		}
	case o.Offset < 0 && !o.Follow:
		end := newRing(-o.Offset)
		if _, err := io.Copy(end, log); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot read the log: %w", err), log.Close())
		}
		r = end.reader()
	}
	if o.Limit > 0 {
		r = io.LimitReader(r, o.Limit)
	}
	return closer{r, log}, nil
}

// maxRing bounds the end of a log that is kept in memory, in bytes.
const maxRing = 16 << 20

// ring keeps the last bytes that are written to it.
type ring struct {
	limit int64
	kept  []byte
}

func newRing(limit int64) *ring { return &ring{limit: min(limit, maxRing)} }

func (r *ring) Write(b []byte) (int, error) {
	r.kept = append(r.kept, b...)
	if int64(len(r.kept)) > 2*r.limit {
		r.kept = append(r.kept[:0], r.kept[int64(len(r.kept))-r.limit:]...)
	}
	return len(b), nil
}

func (r *ring) reader() io.Reader {
	return bytes.NewReader(r.kept[max(0, int64(len(r.kept))-r.limit):])
}
