package parquet

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// value is a leaf's value, ready to be shown.
type value struct {
	text string
	// raw says that the text is JSON as it stands.
	raw bool
	cut bool
}

// value shows a value of a column, at most most bytes of it.
func (n *node) value(b []byte, most int) (value, error) {
	if width := n.fixed(); width > 0 && len(b) != width || n.physical == physicalBoolean && len(b) != 1 {
		return value{}, damaged("a value of column %q has %d bytes", n.name, len(b))
	}
	switch n.physical {
	case physicalBoolean:
		return value{text: strconv.FormatBool(b[0] != 0), raw: true}, nil
	case physicalInt32:
		return n.integer(int64(int32(binary.LittleEndian.Uint32(b)))), nil
	case physicalInt64:
		return n.integer(int64(binary.LittleEndian.Uint64(b))), nil
	case physicalInt96:
		nanos, day := int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint32(b[8:]))
		const epoch = 2440588 // the Julian day of 1970-01-01
		return value{text: stamp(time.Unix((day-epoch)*86400, 0).Add(time.Duration(nanos)), false)}, nil
	case physicalFloat:
		return float(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 32), nil
	case physicalDouble:
		return float(math.Float64frombits(binary.LittleEndian.Uint64(b)), 64), nil
	}
	return n.bytes(b, most), nil
}

// integer shows what whole numbers stand for.
func (n *node) integer(v int64) value {
	switch l := n.logical; l.kind {
	case logicalDecimal:
		return decimal(big.NewInt(v), l.scale)
	case logicalDate:
		return value{text: time.Unix(v*86400, 0).UTC().Format(time.DateOnly)}
	case logicalTime:
		text := time.Unix(0, 0).UTC().Add(time.Duration(v) * unit(l.unit)).Format("15:04:05.999999999")
		if l.utc {
			text += "Z"
		}
		return value{text: text}
	case logicalTimestamp:
		return value{text: stamp(moment(v, l.unit), l.utc)}
	case logicalInteger:
		if l.unsigned && n.physical == physicalInt32 {
			return value{text: strconv.FormatUint(uint64(uint32(v)), 10), raw: true}
		}
		if l.unsigned {
			return value{text: strconv.FormatUint(uint64(v), 10), raw: true}
		}
	}
	return value{text: strconv.FormatInt(v, 10), raw: true}
}

func unit(u int) time.Duration {
	switch u {
	case 1:
		return time.Millisecond
	case 2:
		return time.Microsecond
	}
	return time.Nanosecond
}

func moment(v int64, u int) time.Time {
	switch u {
	case 1:
		return time.UnixMilli(v)
	case 2:
		return time.UnixMicro(v)
	}
	return time.Unix(0, v)
}

// stamp shows a time. One of the world ends with Z; the others are of the zone of whoever wrote them.
func stamp(t time.Time, utc bool) string {
	text := t.UTC().Format("2006-01-02 15:04:05.999999999")
	if utc {
		text += "Z"
	}
	return text
}

func float(v float64, bits int) value {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return value{text: strings.TrimPrefix(strconv.FormatFloat(v, 'g', -1, bits), "+")} // no number in JSON
	}
	b, err := json.Marshal(v)
	if bits == 32 {
		b, err = json.Marshal(float32(v))
	}
	if err != nil {
		return value{text: strconv.FormatFloat(v, 'g', -1, bits)}
	}
	return value{text: string(b), raw: true}
}

// decimal shows a number with scale digits after the point.
func decimal(v *big.Int, scale int) value {
	digits := new(big.Int).Abs(v).String()
	switch {
	case scale < 0 || scale > 256:
		digits += "E" + strconv.Itoa(-scale)
	case scale > 0:
		if missing := scale + 1 - len(digits); missing > 0 {
			digits = strings.Repeat("0", missing) + digits
		}
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if v.Sign() < 0 {
		digits = "-" + digits
	}
	return value{text: digits, raw: true}
}

// bytes shows what strings and binary values stand for.
func (n *node) bytes(b []byte, most int) value {
	switch n.logical.kind {
	case logicalDecimal:
		if len(b) <= 256 {
			v := new(big.Int).SetBytes(b)
			if len(b) > 0 && b[0] >= 0x80 { // two's complement
				v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
			}
			return decimal(v, n.logical.scale)
		}
	case logicalUUID:
		if len(b) == 16 {
			return value{text: fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])}
		}
	case logicalFloat16:
		if len(b) == 2 {
			return float(half(binary.LittleEndian.Uint16(b)), 32)
		}
	case logicalInterval:
		if len(b) == 12 {
			return value{text: fmt.Sprintf("%d months %d days %s", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]),
				time.Duration(binary.LittleEndian.Uint32(b[8:]))*time.Millisecond)}
		}
	case logicalJSON:
		var line bytes.Buffer
		if len(b) <= most && json.Compact(&line, b) == nil {
			return value{text: line.String(), raw: true}
		}
		return text(b, most)
	case logicalString, logicalEnum:
		return text(b, most)
	}
	// Old writers do not say that bytes are a string.
	if isText(b[:min(len(b), most)]) {
		return text(b, most)
	}
	return binaryText(b, most)
}

// binaryText shows short values in hexadecimal, as database shells do, long ones in base64.
func binaryText(b []byte, most int) value {
	if len(b) <= 64 {
		return value{text: "0x" + hex.EncodeToString(b)}
	}
	cut := len(b) > most
	return value{text: "base64:" + base64.StdEncoding.EncodeToString(b[:min(len(b), most)]), cut: cut}
}

func text(b []byte, most int) value {
	if len(b) <= most {
		return value{text: string(b)}
	}
	b = b[:most]
	for i := 1; i < utf8.UTFMax && len(b) > i; i++ { // not in the middle of a character
		if tail := b[len(b)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				b = b[:len(b)-i]
			}
			break
		}
	}
	return value{text: string(b), cut: true}
}

// isText is about the beginning of a value, which may end in the middle of a character.
func isText(b []byte) bool {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			return !utf8.FullRune(b)
		}
		if !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return false
		}
		b = b[size:]
	}
	return true
}

// half is the number that 16 bits of IEEE 754 stand for.
func half(h uint16) float64 {
	sign, exp, frac := 1.0, int(h>>10&31), float64(h&1023)
	if h>>15 != 0 {
		sign = -1
	}
	switch {
	case exp == 0:
		return sign * math.Ldexp(frac, -24)
	case exp < 31:
		return sign * math.Ldexp(1+frac/1024, exp-15)
	case frac != 0:
		return math.NaN()
	}
	return math.Inf(int(sign))
}
