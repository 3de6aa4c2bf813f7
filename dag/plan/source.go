package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a plan's text. A plan of 100,000 stages is about 30 MiB.
const (
	// MaxSize is the length of a plan in bytes.
	MaxSize = 64 << 20
	// MaxNesting is how deep lists and maps may stand in each other.
	MaxNesting = 64
	// MaxAliased is the number of values that aliases and merges may stand for, counted each time they are used.
	MaxAliased = 500_000
	// MaxDiagnostics is the number of diagnostics of one plan; what is beyond is only counted.
	MaxDiagnostics = 500
)

// yamlLine finds the place in an error of the YAML parser.
var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+)(?:, column (\d+))?: )?(.*)$`)

// readTree reads the one document of a text, with positions. It returns nil where there is none that can be read.
func readTree(text []byte, ds *collector) *yaml.Node {
	if len(text) > MaxSize {
		ds.add(SeverityError, "too-large", nil, nil, fmt.Sprintf("the plan has %d bytes, at most %d are allowed", len(text), MaxSize), "")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	doc, err := nextDocument(dec)
	switch {
	case errors.Is(err, io.EOF):
		ds.add(SeverityError, "empty", nil, nil, "the file holds no plan", "a plan is a YAML map with kind: Workflow")
		return nil
	case err != nil:
		ds.syntax(err)
		return nil
	}
	switch second, err := nextDocument(dec); {
	case errors.Is(err, io.EOF):
	case err != nil:
		ds.syntax(err)
		return nil
	default:
		ds.add(SeverityError, "several-documents", second, nil,
			"a second document begins here, but a plan is a single document", "put each plan into a file of its own")
		return nil
	}
	if deep := tooDeep(doc, MaxNesting); deep != nil {
		ds.add(SeverityError, "too-deep", deep, nil, fmt.Sprintf("lists and maps stand in each other deeper than %d", MaxNesting), "")
		return nil
	}
	return doc
}

// nextDocument gives the content of the next document that is not empty, io.EOF after the last.
func nextDocument(dec *yaml.Decoder) (*yaml.Node, error) {
	for {
		var doc yaml.Node
		if err := decodeNode(dec, &doc); err != nil {
			return nil, err
		}
		if len(doc.Content) == 1 && !(doc.Content[0].Kind == yaml.ScalarNode && doc.Content[0].Value == "") {
			return doc.Content[0], nil
		}
	}
}

// decodeNode turns a panic of the parser into an error: a plan comes from anybody.
func decodeNode(dec *yaml.Decoder, doc *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cannot read this YAML: %v", p)
		}
	}()
	return dec.Decode(doc)
}

// tooDeep finds a value that stands deeper than limit, aliases not followed.
func tooDeep(n *yaml.Node, limit int) *yaml.Node {
	if limit < 0 {
		return n
	}
	for _, c := range n.Content {
		if c.Kind == yaml.ScalarNode {
			continue
		}
		if deep := tooDeep(c, limit-1); deep != nil {
			return deep
		}
	}
	return nil
}

// syntax reports an error of the YAML parser.
func (ds *collector) syntax(err error) {
	d := Diagnostic{Severity: SeverityError, File: ds.file, Rule: "yaml", Line: 1, Column: 1}
	m := yamlLine.FindStringSubmatch(strings.SplitN(err.Error(), "\n", 2)[0])
	if m[1] != "" {
		d.Line, _ = strconv.Atoi(m[1])
	}
	if m[2] != "" {
		d.Column, _ = strconv.Atoi(m[2])
	}
	d.Message = "this is not YAML: " + m[3]
	if strings.Contains(m[3], "tab") || strings.Contains(m[3], "cannot start any token") {
		d.Hint = "indent with spaces, and quote values that begin with @, `, % or a tab"
	}
	ds.list = append(ds.list, d)
}
