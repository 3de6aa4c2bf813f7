package hdfs

import (
	"encoding/binary"
	"slices"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// maxAnswer is the longest answer that is looked into: the block locations of a file of terabytes.
	maxAnswer = 64 << 20
	// maxHeader is how much is looked into of any other: the header with an error.
	maxHeader = 4 << 10
)

// A tap sees what goes to a namenode and comes back. It changes one request that the library makes wrong, sees one answer that the library
// keeps for itself and the errors that it does not understand, and knows whether a request is without an answer. On connections whose requests are wrapped by Kerberos (integrity or
// privacy of RPC) it sees nothing, and changes nothing.
//
// A packet, either way: its length in 4 bytes, and messages, each behind its length as a varint; of a request the header of the call, the
// header with the method's name, and the method's parameters; of an answer a header and the result.
type tap struct {
	mu sync.Mutex
	// method is that of the last request, and keep as much of its answer as is looked into.
	method string
	keep   []byte
	// head and rest are of the answer that is being read: the bytes of its length so far, and how many are missing of what it says.
	head []byte
	rest int
	// pending says that a request which changes something was sent and not answered, lost that its connection has gone since: the answers
	// to others, such as the renewal of leases, which the library makes by itself, do not say what came of it.
	pending, lost bool
	// open says that the file whose blocks were asked for last is being written.
	open bool
	// fatalClass and fatalMessage are the exception with which a namenode ended the connection.
	fatalClass, fatalMessage string
}

// Names of methods, and numbers of fields, of Hadoop's ClientProtocol.
const (
	renameMethod    = "rename2"
	locationsMethod = "getBlockLocations"

	fieldMethodName        = 1 // of RequestHeaderProto
	fieldOverwrite         = 3 // of Rename2RequestProto
	fieldLocations         = 1 // of GetBlockLocationsResponseProto
	fieldUnderConstruction = 3 // of LocatedBlocksProto

	fieldStatus    = 2 // of RpcResponseHeaderProto
	fieldException = 4
	fieldMessage   = 5
	statusFatal    = 2
)

// changes are the methods of ours that change something and may not be made twice without knowing.
var changes = []string{renameMethod, "delete", "create", "complete", "addBlock"}

// begin begins a call, and connected a connection.
func (t *tap) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending, t.lost, t.open = false, false, false
	t.fatalClass, t.fatalMessage = "", ""
}

func (t *tap) connected() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.head, t.rest, t.keep = nil, 0, nil
	t.pending, t.lost = false, t.pending || t.lost
}

// undecided says whether something may have been changed or not.
func (t *tap) undecided() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pending || t.lost
}

// underConstruction says whether the file whose blocks were asked for last is being written.
func (t *tap) underConstruction() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open
}

// fatal gives the exception with which a namenode ended the connection, if it did.
func (t *tap) fatal() (class, message string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fatalClass, t.fatalMessage
}

// write looks into a request and gives what is to be sent instead.
func (t *tap) write(packet []byte) []byte {
	method, parameters := request(packet)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.method = method
	t.pending = t.pending || slices.Contains(changes, method)
	if method != renameMethod {
		return packet
	}
	if at := overwriteAt(parameters); at >= 0 {
		packet = slices.Clone(packet)
		packet[len(packet)-len(parameters)+at] = 0
	}
	return packet
}

// request gives the name of a request's method, and its parameters, which are the last bytes of the packet; "" if it is no request.
func request(packet []byte) (method string, parameters []byte) {
	if len(packet) < 4 || int64(binary.BigEndian.Uint32(packet)) != int64(len(packet)-4) {
		return "", nil
	}
	rest := packet[4:]
	for _, last := range []bool{false, false, true} {
		message, n := protowire.ConsumeBytes(rest)
		if n < 0 || last != (n == len(rest)) {
			return "", nil
		}
		rest = rest[n:]
		if last {
			return method, message
		}
		method = string(field(message, fieldMethodName))
	}
	return "", nil
}

// field gives a field of a message that is bytes, nil if it is not there.
func field(message []byte, number protowire.Number) []byte {
	for len(message) > 0 {
		num, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		message = message[n:]
		if num == number && kind == protowire.BytesType {
			value, n := protowire.ConsumeBytes(message)
			if n < 0 {
				return nil
			}
			return value
		}
		if n = protowire.ConsumeFieldValue(num, kind, message); n < 0 {
			return nil
		}
		message = message[n:]
	}
	return nil
}

// flag gives where the value of a field stands in a message that is true, or has another value of one byte; -1 if there is no such.
func flag(message []byte, number protowire.Number, value byte) int {
	for at := 0; at < len(message); {
		num, kind, n := protowire.ConsumeTag(message[at:])
		if n < 0 {
			return -1
		}
		at += n
		if num == number && kind == protowire.VarintType && at < len(message) && message[at] == value {
			return at
		}
		if n = protowire.ConsumeFieldValue(num, kind, message[at:]); n < 0 {
			return -1
		}
		at += n
	}
	return -1
}

func overwriteAt(parameters []byte) int { return flag(parameters, fieldOverwrite, 1) }

// read looks into bytes of an answer.
func (t *tap) read(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(p) > 0 {
		if t.rest == 0 {
			n := min(4-len(t.head), len(p))
			t.head, p = append(t.head, p[:n]...), p[n:]
			if len(t.head) < 4 {
				return
			}
			t.rest, t.head, t.keep = int(binary.BigEndian.Uint32(t.head)), t.head[:0], nil
			continue
		}
		n := min(t.rest, len(p))
		limit := maxHeader
		if t.method == locationsMethod {
			limit = maxAnswer
		}
		t.keep = append(t.keep, p[:min(n, max(0, limit-len(t.keep)))]...)
		p = p[n:]
		if t.rest -= n; t.rest == 0 {
			t.answered()
		}
	}
}

// answered takes notice of a whole answer.
func (t *tap) answered() {
	t.pending = false
	header, n := protowire.ConsumeBytes(t.keep)
	if n > 0 && flag(header, fieldStatus, statusFatal) >= 0 {
		t.fatalClass, t.fatalMessage = string(field(header, fieldException)), string(field(header, fieldMessage))
	}
	if n > 0 && t.method == locationsMethod {
		result, _ := protowire.ConsumeBytes(t.keep[n:])
		t.open = flag(field(result, fieldLocations), fieldUnderConstruction, 1) >= 0
	}
	t.keep = nil
}
