package engine

import (
	"fmt"
	"strings"
	"testing"
)

// What was read is kept while there is room; diagnostics name the file they were asked for, and belong to who asked.
func TestDocuments(t *testing.T) {
	var d documents
	text := []byte(graph("a", "b: a"))
	first, ds := d.parse("one.yaml", text)
	if first == nil || ds.HasErrors() {
		t.Fatal(ds)
	}
	if again, _ := d.parse("one.yaml", text); again != first {
		t.Error("a text is read twice")
	}
	if other, _ := d.parse("two.yaml", text); other == first {
		t.Error("two files share what was read of one")
	}

	wrong := []byte(strings.Replace(graph("a"), "templates:", "template:", 1))
	_, ds = d.parse("wrong.yaml", wrong)
	if len(ds) == 0 {
		t.Fatal("nothing is wrong with it")
	}
	want := ds[0].Message
	ds[0].Message = "changed"
	if _, ds = d.parse("wrong.yaml", wrong); len(ds) == 0 || ds[0].Message != want {
		t.Errorf("the second who asks gets %v", ds)
	}

	for i := range 2 * maxDocuments / maxDocument {
		long := fmt.Sprintf("# %d %s\n%s", i, strings.Repeat("x", maxDocument/2), text)
		if doc, ds := d.parse("long.yaml", []byte(long)); doc == nil {
			t.Fatal(ds)
		}
	}
	held := 0
	for e := d.order.Front(); e != nil; e = e.Next() {
		held += e.Value.(*document).size
	}
	if held != d.size || held > maxDocuments || len(d.known) != d.order.Len() {
		t.Errorf("%d bytes in %d texts are kept, %d are counted, %d known", held, d.order.Len(), d.size, len(d.known))
	}
	if again, _ := d.parse("one.yaml", text); again == first {
		t.Error("what nobody asked for the longest was not the first to go")
	}
	before := d.order.Len()
	d.parse("huge.yaml", append(text, strings.Repeat("#", maxDocument)...))
	if d.order.Len() != before {
		t.Error("a huge text is kept")
	}
}
