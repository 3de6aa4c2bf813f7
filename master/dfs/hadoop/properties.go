package hadoop

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Limits of what is read: far above what real configurations have.
const (
	maxFile       = 4 << 20
	maxProperties = 20_000
	maxExpansions = 20
	maxValue      = 1 << 16
)

// An Error is what is wrong with the configuration: where it stands, as far as that is known, and what it is.
type Error struct {
	// File is the path of the file, "" for what was set without one.
	File string
	// Property is Hadoop's name of it, or the name of the field of Config.
	Property string
	Problem  string
}

func (e *Error) Error() string {
	where := e.Property
	if e.File != "" && where != "" {
		where = e.File + ": " + where
	} else if where == "" {
		where = e.File
	}
	return where + ": " + e.Problem
}

// Properties are Hadoop's properties, with the file that each is from.
type Properties struct {
	values map[string]property
}

type property struct {
	value, file string
	final       bool
}

// files are read in this order; a later one overrides what an earlier one has not declared final.
var files = []string{"core-site.xml", "hdfs-site.xml"}

// Load reads core-site.xml and hdfs-site.xml of a directory, HADOOP_CONF_DIR as a rule. One of them may be missing.
func Load(dir string) (Properties, error) {
	p := Properties{values: map[string]property{}}
	found := false
	for _, name := range files {
		file := filepath.Join(dir, name)
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return Properties{}, fmt.Errorf("cannot read Hadoop's configuration: %w", err)
		}
		found = true
		err = p.read(f, file)
		f.Close()
		if err != nil {
			return Properties{}, err
		}
	}
	if !found {
		return Properties{}, &Error{File: dir, Problem: "the directory has neither " + strings.Join(files, " nor ")}
	}
	return p, nil
}

// Parse reads one file of properties; file is what errors call it.
func Parse(r io.Reader, file string) (Properties, error) {
	p := Properties{values: map[string]property{}}
	return p, p.read(r, file)
}

// read adds the properties of a file.
func (p Properties) read(r io.Reader, file string) error {
	limited := &io.LimitedReader{R: r, N: maxFile + 1}
	dec := xml.NewDecoder(limited)
	inside := false
	for {
		token, err := dec.Token()
		if limited.N <= 0 {
			return &Error{File: file, Problem: fmt.Sprintf("the file has more than %d bytes", maxFile)}
		}
		if errors.Is(err, io.EOF) && inside {
			return nil
		} else if err != nil {
			return &Error{File: file, Problem: "it is not XML with an element <configuration>: " + err.Error()}
		}
		start, ok := token.(xml.StartElement)
		switch {
		case !ok:
		case start.Name.Local == "configuration":
			inside = true
		case !inside:
			return &Error{File: file, Problem: fmt.Sprintf("it begins with <%s>, not with <configuration>", start.Name.Local)}
		case start.Name.Local == "property":
			if err := p.add(dec, start, file); err != nil {
				return err
			}
		case start.Name.Local == "include":
			return &Error{File: file, Problem: "includes are not followed: put the properties into the file itself"}
		default:
			if err := dec.Skip(); err != nil {
				return &Error{File: file, Problem: err.Error()}
			}
		}
	}
}

// add reads one element <property>.
func (p Properties) add(dec *xml.Decoder, start xml.StartElement, file string) error {
	var read struct {
		Name  string  `xml:"name"`
		Value *string `xml:"value"`
		Final string  `xml:"final"`
	}
	if err := dec.DecodeElement(&read, &start); err != nil {
		return &Error{File: file, Problem: err.Error()}
	}
	name := strings.TrimSpace(read.Name)
	switch {
	case name == "":
		return &Error{File: file, Problem: "a property has no name"}
	case read.Value == nil || p.values[name].final:
		return nil
	case len(*read.Value) > maxValue:
		return &Error{File: file, Property: name, Problem: fmt.Sprintf("the value has %d bytes, more than %d", len(*read.Value), maxValue)}
	case len(p.values) == maxProperties:
		return &Error{File: file, Problem: fmt.Sprintf("there are more than %d properties", maxProperties)}
	}
	p.values[name] = property{value: strings.TrimSpace(*read.Value), file: file, final: strings.TrimSpace(read.Final) == "true"}
	return nil
}

// Get gives the value of a property with ${other properties} put in, "" if it is not set. A name that is no property stays as it is, as
// Hadoop has it.
func (p Properties) Get(name string) (string, error) {
	value := p.values[name].value
	from := 0
	for range maxExpansions {
		begin := strings.Index(value[from:], "${")
		if begin < 0 {
			return value, nil
		}
		begin += from
		length := strings.IndexByte(value[begin:], '}')
		if length < 0 {
			return value, nil
		}
		other, ok := p.values[value[begin+2:begin+length]]
		if !ok {
			from = begin + length
			continue
		}
		value = value[:begin] + other.value + value[begin+length+1:]
		if len(value) > maxValue {
			break
		}
	}
	return "", p.problem(name, "the ${variables} in it lead too far")
}

// problem gives an error about a property.
func (p Properties) problem(name, format string, args ...any) error {
	return &Error{File: p.values[name].file, Property: name, Problem: fmt.Sprintf(format, args...)}
}

// list gives the elements of a value with commas.
func (p Properties) list(name string) ([]string, error) {
	value, err := p.Get(name)
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' || r == '\r' }), nil
}

// bool gives a value that is true or false, false if it is not set.
func (p Properties) bool(name string) (bool, error) {
	value, err := p.Get(name)
	if err != nil {
		return false, err
	}
	switch strings.ToLower(value) {
	case "true":
		return true, nil
	case "false", "":
		return false, nil
	}
	return false, p.problem(name, "%q is neither true nor false", value)
}

// duration gives a time in milliseconds, or with a unit as Hadoop writes them; 0 if it is not set.
func (p Properties) duration(name string) (time.Duration, error) {
	value, err := p.Get(name)
	if err != nil || value == "" {
		return 0, err
	}
	unit := time.Millisecond
	number := strings.ToLower(value)
	for _, u := range []struct {
		suffix string
		unit   time.Duration
	}{{"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}} {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = rest, u.unit
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 || n > int64(24*time.Hour/unit) {
		return 0, p.problem(name, "%q is no time from 0 to 24 hours, as 20000 (milliseconds) or 20s", value)
	}
	return time.Duration(n) * unit, nil
}

// size gives a number of bytes, with a binary unit as Hadoop writes them (128m); 0 if it is not set.
func (p Properties) size(name string) (int64, error) {
	value, err := p.Get(name)
	if err != nil || value == "" {
		return 0, err
	}
	number, shift := strings.ToLower(value), 0
	if unit := strings.IndexByte("kmgtp", number[len(number)-1]); unit >= 0 {
		number, shift = number[:len(number)-1], 10*(unit+1)
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n<<shift>>shift != n {
		return 0, p.problem(name, "%q is no number of bytes, as 134217728 or 128m", value)
	}
	return n << shift, nil
}
