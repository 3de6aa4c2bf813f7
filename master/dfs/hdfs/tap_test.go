package hdfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// packet puts messages into a packet of the namenodes' protocol.
func packet(messages ...[]byte) []byte {
	p := make([]byte, 4)
	for _, m := range messages {
		p = protowire.AppendBytes(p, m)
	}
	binary.BigEndian.PutUint32(p, uint32(len(p)-4))
	return p
}

// text and number append a field to a message.
func text(m []byte, field protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), value)
}

func number(m []byte, field protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), value)
}

// call makes a request as the library does: the first header has the number of the call, the second one the method.
func call(method string, parameters []byte) []byte {
	return packet(number(nil, 3, 7), text(text(nil, 1, method), 2, "org.apache.hadoop.hdfs.protocol.ClientProtocol"), parameters)
}

func TestTapForbidsOverwriting(t *testing.T) {
	var tap tap
	parameters := func(overwrite uint64) []byte {
		return number(text(text(nil, 1, "/from\x18\x01"), 2, "/to\x18\x01"), 3, overwrite)
	}
	if got, want := tap.write(call("rename2", parameters(1))), call("rename2", parameters(0)); !bytes.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	for _, other := range [][]byte{
		call("rename2", parameters(0)), call("create", parameters(1)), []byte("hrpc\x09\x00\x00"), nil, packet(number(nil, 3, 1)),
		packet(nil, text(nil, 1, "rename2")), call("rename2", parameters(1))[:20],
	} {
		if got := tap.write(other); !bytes.Equal(got, other) {
			t.Errorf("sent %q instead of %q", got, other)
		}
	}
}

func TestTapSeesOpenFilesAndAnswers(t *testing.T) {
	header := number(nil, 1, 7)
	for _, size := range []int{1, 3, 4, 1000} {
		for _, open := range []bool{false, true} {
			var tap tap
			tap.begin()
			tap.connected()
			tap.write(call("create", nil))
			if !tap.undecided() {
				t.Error("a request that changes something is decided before its answer")
			}
			locations := number(text(number(nil, 1, 10), 2, "a block"), 3, protowire.EncodeBool(open))
			answers := slices.Concat(packet(header, nil), packet(header, text(nil, 1, string(locations))))
			first := len(packet(header, nil))
			for at := 0; at < len(answers); {
				if at == first {
					tap.write(call("getBlockLocations", nil))
				}
				n := min(size, len(answers)-at)
				if at < first {
					n = min(n, first-at)
				}
				tap.read(answers[at : at+n])
				at += n
				if tap.undecided() != (at < first) {
					t.Errorf("after %d bytes of %d: undecided: %t", at, first, tap.undecided())
				}
			}
			if tap.underConstruction() != open {
				t.Errorf("in pieces of %d: open: %t, want %t", size, tap.underConstruction(), open)
			}
		}
	}
}

func TestTapSeesWhyAConnectionEnds(t *testing.T) {
	header := text(text(number(number(nil, 1, 1<<32-1), 2, 2), 4, "org.apache.hadoop.security.AccessControlException"), 5, "no")
	var tap tap
	tap.begin()
	tap.connected()
	tap.write(call("getFileInfo", nil))
	tap.read(packet(header))
	class, message := tap.fatal()
	if err := exception(class, message); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%q, %q: %v", class, message, err)
	}
}

// TestTapRemembersWhatHasNoAnswer loses the connection before an answer. The library makes another one, for the renewal of leases, before
// anybody asks.
func TestTapRemembersWhatHasNoAnswer(t *testing.T) {
	var tap tap
	tap.begin()
	tap.connected()
	tap.write(call("rename2", nil))
	tap.connected()
	tap.write(call("renewLease", nil))
	tap.read(packet(number(nil, 1, 7), nil))
	if !tap.undecided() {
		t.Error("the answer to another request is taken for that to the rename")
	}
	if tap.begin(); tap.undecided() {
		t.Error("the next call is undecided before it began")
	}
}

func FuzzTap(f *testing.F) {
	f.Add(call("rename2", number(nil, 3, 1)), packet(nil, text(nil, 1, "\x18\x01")))
	f.Add(call("getBlockLocations", nil), packet(nil, text(nil, 1, "\x18\x01")))
	f.Fuzz(func(t *testing.T, sent, received []byte) {
		var tap tap
		tap.begin()
		tap.connected()
		if got := tap.write(sent); len(got) != len(sent) {
			t.Fatal("the length of a request was changed")
		}
		for _, b := range received {
			tap.read([]byte{b})
		}
	})
}
