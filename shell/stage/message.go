package stage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// message is what the helper leaves behind as the termination message of its container. The executor recognises it by its
// beginning, so the order of the fields matters.
type message struct {
	V int `json:"v"`
	// Exit is the exit status of the program: 128+n after signal n, 64 if its command could not be executed. Signal says which
	// one, as "9 (killed)".
	Exit   int    `json:"exit"`
	Signal string `json:"signal"`
	// Error says more about an exit status that is not 0; where that is 0, it is why the stage failed all the same.
	Error string `json:"error"`
	// Posted says that the master has taken the report of completion, with the outputs.
	Posted bool `json:"posted"`
	// Stopped says that the program was told to stop, from outside or by the master.
	Stopped bool `json:"stopped,omitempty"`
	// Info is for people. Started is in milliseconds since the Unix epoch.
	Info    string   `json:"info,omitempty"`
	Started int64    `json:"started,omitempty"`
	Usage   *usage   `json:"usage,omitempty"`
	Outputs *outputs `json:"outputs,omitempty"`
}

// usage is what the program took: CPU in milliseconds, and its peak of resident memory in bytes (0: not known).
type usage struct {
	CPU int64 `json:"cpu"`
	RSS int64 `json:"rss,omitempty"`
}

// outputs are the result and the output parameters.
type outputs struct {
	Result     *string           `json:"result,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
}

func (o *outputs) size() int {
	n := 0
	if o.Result != nil {
		n += len(*o.Result)
	}
	for name, value := range o.Parameters {
		n += len(name) + len(value)
	}
	return n
}

// maxText bounds what the message says in words, in bytes.
const maxText = 1200

// encode gives the message in at most limit bytes, which may be without the outputs; fits says that they are in it.
func (m message) encode(limit int) (text []byte, fits bool) {
	m.V = 1
	m.Error, m.Info = cut(m.Error, maxText), cut(m.Info, maxText/2)
	if m.Outputs == nil || m.Outputs.size() <= limit {
		if text = m.marshal(); len(text) <= limit {
			return text, true
		}
	}
	fits = m.Outputs == nil
	m.Outputs = nil
	for text = m.marshal(); len(text) > limit; text = m.marshal() {
		if m.Info != "" {
			m.Info = ""
		} else if m.Error = cut(m.Error, len(m.Error)/2); m.Error == "" {
			break // the rest is shorter than any limit
		}
	}
	return text, fits
}

func (m message) marshal() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // which takes room
	if err := e.Encode(m); err != nil {
		return nil // strings and numbers can always be written
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// cut shortens a text to at most n bytes, at the end of a character.
func cut(s string, n int) string {
	const more = "…"
	if len(s) <= n {
		return s
	}
	if n <= len(more) {
		return ""
	}
	n -= len(more)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + more
}

// leave writes the termination message. The file is the container runtime's: it is never made here.
func leave(file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("cannot write the termination message: %w", err)
	}
	return nil
}

// ownWords is what a program left in a file for people to read: as much of it as a message takes, without empty ends.
func ownWords(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	b, err := io.ReadAll(io.LimitReader(f, maxMessage))
	if err != nil {
		return ""
	}
	return cut(strings.TrimSpace(strings.ToValidUTF8(string(b), "\uFFFD")), maxText)
}
