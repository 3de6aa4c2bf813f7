// Package streamlog keeps the two output streams of a program in files of bounded size, and reads them back as one log.
//
// A stream's beginning is in a file of the stream's name, what follows in files <name>.<offset> that take turns, so that the
// middle of a flood is dropped and its end stays. A file named order says how the streams were interleaved. One process
// writes; any number read at the same time, without locks.
package streamlog

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Stream is one of a program's two output streams.
type Stream int

// The streams.
const (
	Stdout Stream = iota
	Stderr
)

// String is the stream's name, and its first file's.
func (s Stream) String() string { return [...]string{"stdout", "stderr"}[s] }

const orderName = "order"

// What is kept of a stream of limit bytes: its first half, and of what follows the newest quarter to half, in two segments
// that take turns. So the beginning and the end of a flood stay readable, and the disk never holds more than the limit.
const (
	headShare    = 2
	segmentShare = 4
)

// minLogLimit is the smallest limit that still makes sense of the shares.
const minLogLimit = 1 << 10

// maxOrder bounds the file that says how the streams were interleaved. Past it their order is no longer noted.
const maxOrder = 1 << 20

// segment is a file with the bytes of a stream from start on, counted from the first byte that the program wrote.
type segment struct {
	start int64
	size  int64
	file  string
}

// segments lists what is kept of a stream, in order. There is a gap where one does not begin at the end of the one before.
func segments(dir string, s Stream) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var segs []segment
	for _, e := range entries {
		start, ok := segmentStart(s, e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // rotated away since it was listed
		}
		segs = append(segs, segment{start: start, size: info.Size(), file: filepath.Join(dir, e.Name())})
	}
	sort.Slice(segs, func(i, j int) bool { return segs[i].start < segs[j].start })
	return segs, nil
}

func segmentStart(s Stream, name string) (int64, bool) {
	rest, ok := strings.CutPrefix(name, s.String())
	if !ok {
		return 0, false
	}
	if rest == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(rest, "."), 10, 64)
	return n, err == nil && rest[0] == '.' && n > 0
}

func segmentFile(dir string, s Stream, start int64) string {
	if start == 0 {
		return filepath.Join(dir, s.String())
	}
	return filepath.Join(dir, s.String()+"."+strconv.FormatInt(start, 10))
}

// turn says that the stream from stopped at its byte at, and that the other one went on.
type turn struct {
	from Stream
	at   int64
}

// readOrder reads how the streams were interleaved. There is none while only one of them has bytes.
func readOrder(dir string) ([]turn, error) {
	b, err := os.ReadFile(filepath.Join(dir, orderName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var turns []turn
	for len(b) > 1 {
		at, n := binary.Uvarint(b[1:])
		if n <= 0 {
			break
		}
		turns = append(turns, turn{from: Stream(b[0] & 1), at: int64(at)})
		b = b[1+n:]
	}
	return turns, nil
}
