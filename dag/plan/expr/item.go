package expr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Kind is the type of an Item.
type Kind uint8

const (
	// KindString is a string, or anything that is no other kind.
	KindString Kind = iota
	// KindNumber is a number.
	KindNumber
	// KindBool is true or false.
	KindBool
	// KindList is a list; null is one too, as in Argo.
	KindList
	// KindMap is a map.
	KindMap
)

// Item is one element of withItems, withParam or withSequence, or one result of a loop. The zero Item is null.
type Item struct {
	raw  json.RawMessage // compact, with Argo's escapes
	kind Kind
	// list and pairs are the elements of a list and of a map (sorted by key), as text.
	list  []string
	pairs []pair
}

// pair is an entry of a map.
type pair struct{ key, value string }

// NewItem reads an item from its JSON.
func NewItem(data []byte) (Item, error) {
	if err := checkJSON(data); err != nil {
		return Item{}, err
	}
	return newItem(data)
}

// newItem reads an item from JSON that is known to be valid and not too deep.
func newItem(data []byte) (Item, error) {
	raw, err := normalJSON(data)
	if err != nil {
		return Item{}, err
	}
	it := Item{raw: raw}
	switch raw[0] {
	case '"':
		it.kind = KindString
	case 't', 'f':
		it.kind = KindBool
	case '[':
		it.kind = KindList
		err = it.readList()
	case '{':
		it.kind = KindMap
		err = it.readMap()
	case 'n':
		it.kind = KindList
	default:
		it.kind = KindNumber
	}
	return it, err
}

// readList fills list.
func (i *Item) readList() error {
	var elements []json.RawMessage
	if err := json.Unmarshal(i.raw, &elements); err != nil {
		return fmt.Errorf("cannot read a list: %w", err)
	}
	for _, e := range elements {
		i.list = append(i.list, rawText(orNull(e)))
	}
	return nil
}

// readMap fills pairs, and brings raw into the order of the keys, which is the one that {{item}} shows.
func (i *Item) readMap() error {
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(i.raw, &entries); err != nil {
		return fmt.Errorf("cannot read a map: %w", err)
	}
	for k, v := range entries {
		i.pairs = append(i.pairs, pair{k, rawText(orNull(v))})
	}
	slices.SortFunc(i.pairs, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	raw, err := json.Marshal(entries)
	if err != nil {
		return fmt.Errorf("cannot write a map: %w", err)
	}
	i.raw = raw
	return nil
}

// orNull is raw, or null where decoding left nothing.
func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}

// Kind is the item's type.
func (i Item) Kind() Kind {
	if len(i.raw) == 0 {
		return KindList
	}
	return i.kind
}

// JSON is the item's compact JSON. It must not be changed.
func (i Item) JSON() json.RawMessage { return orNull(i.raw) }

// MarshalJSON gives the item's JSON back.
func (i Item) MarshalJSON() ([]byte, error) { return i.JSON(), nil }

// UnmarshalJSON is NewItem.
func (i *Item) UnmarshalJSON(data []byte) error {
	it, err := NewItem(data)
	if err != nil {
		return err
	}
	*i = it
	return nil
}

// Value is what {{item}} becomes: a string without its quotes, a list's or map's JSON. The escapes within a string stay, as
// in Argo: the JSON "q\"x" gives q\"x, with the backslash.
func (i Item) Value() string {
	switch i.Kind() {
	case KindList, KindMap:
		return string(i.JSON())
	default:
		return rawText(i.raw)
	}
}

// String is Value.
func (i Item) String() string { return i.Value() }

// ItemString is Value as a function.
func ItemString(item Item) string { return item.Value() }

// Text is a string item's real text, escapes resolved; for all other kinds it is Value. Argo never shows it: it is for
// callers that want what the plan's author meant.
func (i Item) Text() string {
	var s string
	if i.Kind() == KindString && json.Unmarshal(i.raw, &s) == nil {
		return s
	}
	return i.Value()
}

// Scope gives the variables that the item defines: "item", and for maps "item.k" for each key, not for "item" alone.
func (i Item) Scope() map[string]string {
	scope := make(map[string]string, 1+len(i.pairs))
	scope["item"] = i.Value()
	for _, p := range i.pairs {
		scope["item."+p.key] = p.value
	}
	return scope
}

// Name is what an instance's name ends in, such as "(0:x)", "(4:k2:2,k:v)", "(5:[p q])". Parentheses in the item are left
// out; the index keeps names unique.
func (i Item) Name(index int) string {
	var desc string
	switch i.Kind() {
	case KindList:
		desc = "[" + strings.Join(i.list, " ") + "]"
	case KindMap:
		parts := make([]string, len(i.pairs))
		for n, p := range i.pairs {
			parts[n] = p.key + ":" + p.value
		}
		sort.Strings(parts) // by key and value together: "k2:2" comes before "k:v"
		desc = strings.Join(parts, ",")
	default:
		desc = rawText(i.raw)
	}
	desc = strings.NewReplacer("(", "", ")", "").Replace(desc)
	return "(" + strconv.Itoa(index) + ":" + desc + ")"
}

// ParseItems reads the value of withParam, a JSON list.
func ParseItems(value string) ([]Item, error) {
	text := strings.TrimSpace(value)
	raws, err := parseRawList(value)
	if err != nil {
		return nil, &Error{
			Msg: fmt.Sprintf("withParam value could not be parsed as a JSON list: %s: %v", shorten(text), err), Err: err,
		}
	}
	items := make([]Item, len(raws))
	for n, raw := range raws {
		if items[n], err = newItem(orNull(raw)); err != nil {
			return nil, fmt.Errorf("cannot read item %d: %w", n, err)
		}
	}
	return items, nil
}

// parseRawList splits a JSON list; its errors are worded like Argo's.
func parseRawList(value string) ([]json.RawMessage, error) {
	if err := checkJSON([]byte(value)); err != nil {
		return nil, err
	}
	var raws []json.RawMessage
	if err := json.Unmarshal([]byte(value), &raws); err != nil {
		var typeErr *json.UnmarshalTypeError
		if ok := asType(err, &typeErr); ok {
			return nil, fmt.Errorf("json: cannot unmarshal %s into Go value of type []v1alpha1.Item", typeErr.Value)
		}
		return nil, err
	}
	if len(raws) > MaxItems {
		return nil, limitError(0, "%d items are more than %d", len(raws), MaxItems)
	}
	return raws, nil
}

// normalJSON is compact JSON with <, > and & escaped, the form in which Argo handles items.
func normalJSON(data []byte) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return nil, err
	}
	if !bytes.ContainsAny(b.Bytes(), "<>&\u2028\u2029") {
		return b.Bytes(), nil
	}
	var escaped bytes.Buffer
	json.HTMLEscape(&escaped, b.Bytes())
	return escaped.Bytes(), nil
}

// rawText is the text of a JSON value as Argo shows it within a name or a string: without quotes, without the escapes that
// only HTML needs, all other escapes as they are.
func rawText(raw json.RawMessage) string {
	s := string(raw)
	if norm, err := normalJSON(raw); err == nil {
		s = string(norm)
	}
	if len(s) >= 2 && s[0] == '"' {
		s = s[1 : len(s)-1]
	}
	if strings.Contains(s, `\u00`) {
		s = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(s)
	}
	return s
}
