package redis

import (
	"strconv"
	"unsafe"

	"github.com/redis/go-redis/v9"
)

// call is one call of a script that writes for a leader, ready to be sent, and sent again.
type call struct {
	script *script
	slot   uint16
	// args is the command: EVALSHA, name, number of keys, keys, arguments. The first argument is the fence, which is set each
	// time that it is sent.
	args  []any
	fence int
	size  int
	// base is the place of the base revision in args; 0 where there is none.
	base int
	// group is what the parts of a large task have in common.
	group *group
	cmd   *redis.Cmd
}

// group are calls of which none is any good without the others.
type group struct {
	// torn says that one of them is not kept any more.
	torn bool
}

// evalsha is boxed once.
var evalsha any = "evalsha"

// builder makes a call. Values are copied: the caller may change its own afterwards, and the call may be sent much later.
type builder struct {
	args  []any
	text  []byte
	boxes []string
	fence int
	size  int
}

// newBuilder starts a call with room for so many keys and arguments, and so many bytes of both.
func newBuilder(s *script, keys, args, bytes int) *builder {
	b := &builder{
		args:  make([]any, 0, 3+keys+args),
		text:  make([]byte, 0, bytes),
		boxes: make([]string, 0, keys+args),
	}
	b.args = append(b.args, evalsha, s.sha, nil)
	return b
}

// box makes an argument of the text since from. A pointer in an interface costs no allocation.
func (b *builder) box(from int) {
	var s string
	if n := len(b.text) - from; n > 0 {
		s = unsafe.String(&b.text[from], n) // what is in text is not changed any more
		b.size += n
	}
	if len(b.boxes) == cap(b.boxes) {
		b.boxes = make([]string, 0, max(16, len(b.args)))
	}
	b.boxes = append(b.boxes, s)
	b.args = append(b.args, &b.boxes[len(b.boxes)-1])
}

// room starts a new piece of text where the old one is full, since boxes point into it.
func (b *builder) room(n int) int {
	if cap(b.text)-len(b.text) < n {
		b.text = make([]byte, 0, max(n, 4<<10))
	}
	return len(b.text)
}

// maxInt is the length of the longest number.
const maxInt = 20

func (b *builder) str(s string) {
	from := b.room(len(s))
	b.text = append(b.text, s...)
	b.box(from)
}

func (b *builder) bytes(s []byte) {
	from := b.room(len(s))
	b.text = append(b.text, s...)
	b.box(from)
}

func (b *builder) int(n int64) {
	from := b.room(maxInt)
	b.text = strconv.AppendInt(b.text, n, 10)
	b.box(from)
}

func (b *builder) uint(n uint64) {
	from := b.room(maxInt)
	b.text = strconv.AppendUint(b.text, n, 10)
	b.box(from)
}

// fixed adds a text that is boxed already.
func (b *builder) fixed(s any) { b.args = append(b.args, s) }

// numbered adds a key that ends in a number.
func (b *builder) numbered(base string, n int) {
	from := b.room(len(base) + maxInt)
	b.text = append(b.text, base...)
	b.text = strconv.AppendInt(b.text, int64(n), 10)
	b.box(from)
}

// arguments ends the keys: the next is the first argument, after the fence.
func (b *builder) arguments() {
	b.args[2] = len(b.args) - 3
	b.fence = len(b.args)
	b.args = append(b.args, nil)
}

func (b *builder) call(s *script, slot uint16) *call {
	return &call{script: s, slot: slot, args: b.args, fence: b.fence, size: b.size + 16*len(b.args)}
}
