package plan

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Argo reads YAML 1.1 by way of JSON, so its scalars are those of YAML 1.1: an unquoted n, y, on, off, yes or no is a
// boolean, 010 is octal, and dates are strings.

// scalar is the JSON value of a YAML scalar.
type scalar struct {
	kind  byte // 's'tring, 'i'nteger, 'f'loat, 'b'ool, 'n'ull
	text  string
	whole int64
	float float64
	truth bool
}

// resolve gives the value of a scalar node.
func resolve(n *yaml.Node) scalar {
	text := scalar{kind: 's', text: n.Value}
	if n.Tag == "!!binary" {
		if b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), "")); err == nil {
			text.text = string(b)
		}
		return text
	}
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 && n.Style&yaml.TaggedStyle == 0 {
		return text
	}
	if n.Style&yaml.TaggedStyle != 0 && n.Tag == "!!str" {
		return text
	}
	return plain(n.Value)
}

// plain resolves a scalar without quotes.
func plain(v string) scalar {
	switch v {
	case "", "~", "null", "Null", "NULL":
		return scalar{kind: 'n'}
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return scalar{kind: 'b', truth: true, text: v}
	case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return scalar{kind: 'b', text: v}
	}
	if c := v[0]; c != '+' && c != '-' && c != '.' && (c < '0' || c > '9') {
		return scalar{kind: 's', text: v}
	}
	return number(v)
}

func number(v string) scalar {
	digits := strings.ReplaceAll(v, "_", "")
	if i, err := strconv.ParseInt(digits, 0, 64); err == nil {
		return scalar{kind: 'i', whole: i, text: v}
	}
	if _, err := strconv.ParseUint(digits, 0, 64); err == nil {
		return scalar{kind: 'f', float: toFloat(digits), text: v}
	}
	switch v {
	case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", ".nan", ".NaN", ".NAN":
		return scalar{kind: 's', text: v} // JSON has no such numbers
	}
	if isFloat(digits) {
		if f, err := strconv.ParseFloat(digits, 64); err == nil {
			return scalar{kind: 'f', float: f, text: v}
		}
	}
	if rest, ok := strings.CutPrefix(digits, "0b"); ok {
		if i, err := strconv.ParseInt(rest, 2, 64); err == nil {
			return scalar{kind: 'i', whole: i, text: v}
		}
	}
	return scalar{kind: 's', text: v}
}

func toFloat(digits string) float64 {
	u, err := strconv.ParseUint(digits, 0, 64)
	if err != nil {
		return math.NaN()
	}
	return float64(u)
}

// isFloat reports whether the text is a decimal fraction as YAML knows them (ParseFloat knows more).
func isFloat(s string) bool {
	s = strings.TrimLeft(s, "+-")
	mantissa, exponent, has := strings.Cut(strings.ToLower(s), "e")
	digits := func(t string) bool {
		for _, c := range t {
			if c < '0' || c > '9' {
				return false
			}
		}
		return true
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if whole+fraction == "" || !digits(whole) || !digits(fraction) {
		return false
	}
	exponent = strings.TrimLeft(exponent, "+-")
	return !has || exponent != "" && digits(exponent)
}

// String is what the value becomes where a string is expected.
func (s scalar) String() string {
	switch s.kind {
	case 'i':
		return strconv.FormatInt(s.whole, 10)
	case 'f':
		return strconv.FormatFloat(s.float, 'g', -1, 64)
	case 'b':
		return strconv.FormatBool(s.truth)
	case 'n':
		return ""
	}
	return s.text
}

// JSON is the value in JSON.
func (s scalar) JSON() []byte {
	var v any
	switch s.kind {
	case 'i':
		v = s.whole
	case 'f':
		v = s.float
	case 'b':
		v = s.truth
	case 's':
		v = s.text
	}
	b, err := json.Marshal(v)
	if err != nil { // a number that JSON does not have
		b, _ = json.Marshal(s.text)
	}
	return b
}

// what names the kind of a value for people.
func (s scalar) what() string {
	switch s.kind {
	case 'i', 'f':
		return "a number"
	case 'b':
		return "true or false"
	case 'n':
		return "nothing"
	}
	return "a string"
}
