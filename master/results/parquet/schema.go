package parquet

// Physical types, repetitions, and the annotations that matter here, as numbered in parquet.thrift.
const (
	physicalBoolean = 0
	physicalInt32   = 1
	physicalInt64   = 2
	physicalInt96   = 3
	physicalFloat   = 4
	physicalDouble  = 5
	physicalBytes   = 6
	physicalFixed   = 7

	required = 0
	optional = 1
	repeated = 2

	logicalString    = 1
	logicalMap       = 2
	logicalList      = 3
	logicalEnum      = 4
	logicalDecimal   = 5
	logicalDate      = 6
	logicalTime      = 7
	logicalTimestamp = 8
	logicalInteger   = 10
	logicalJSON      = 12
	logicalUUID      = 14
	logicalFloat16   = 15
	// logicalInterval has no number of its own: only the older annotation has it.
	logicalInterval = 100
)

// maxLevel bounds how deep columns may be nested.
const maxLevel = 100

// node is a field of the schema.
type node struct {
	element
	// def and rep are the levels at which the field is there, and at which it repeats.
	def, rep int
	parent   *node
	children []*node
	// first and last are the leaves below it: leaves[first:last].
	first, last int
}

func (n *node) leaf() bool { return len(n.children) == 0 }

// schema makes the tree of the list of elements.
func (f *File) schema() error {
	elements := f.meta.elements
	f.meta.elements = nil
	root := &node{element: elements[0]}
	rest, err := f.grow(root, elements[1:], 0)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return damaged("its schema has %d fields that belong nowhere", len(rest))
	}
	f.fields = root.children
	return nil
}

// grow reads the children of a node, and gives what follows them.
func (f *File) grow(n *node, rest []element, depth int) ([]element, error) {
	if depth > maxLevel {
		return nil, unsupported("its columns are nested more than %d levels deep", maxLevel)
	}
	if n.element.children > len(rest) {
		return nil, damaged("its schema ends too early")
	}
	for range n.element.children {
		if len(rest) == 0 {
			return nil, damaged("its schema ends too early")
		}
		child := &node{element: rest[0], def: n.def, rep: n.rep, parent: n, first: len(f.leaves)}
		rest = rest[1:]
		switch child.repeated {
		case required:
		case optional:
			child.def++
		case repeated:
			child.def++
			child.rep++
		default:
			return nil, damaged("its schema has a field that is neither required nor optional nor repeated")
		}
		child.annotate()
		n.children = append(n.children, child)
		if child.element.children == 0 {
			if child.physical < 0 {
				child.last = child.first
				continue // a group without fields: some writers have it for empty structs
			}
			if child.physical > physicalFixed || child.physical == physicalFixed && child.width == 0 {
				return nil, damaged("column %q has no known type", child.name)
			}
			f.leaves = append(f.leaves, child)
		} else {
			var err error
			if rest, err = f.grow(child, rest, depth+1); err != nil {
				return nil, err
			}
		}
		child.last = len(f.leaves)
	}
	return rest, nil
}

// annotate says in terms of the newer annotation what the older one says.
func (n *node) annotate() {
	if n.logical.kind != 0 {
		return
	}
	n.logical.utc = true
	switch n.converted {
	case 0:
		n.logical.kind = logicalString
	case 1, 2:
		n.logical.kind = logicalMap
	case 3:
		n.logical.kind = logicalList
	case 4:
		n.logical.kind = logicalEnum
	case 5:
		n.logical.kind, n.logical.scale = logicalDecimal, n.scale
	case 6:
		n.logical.kind = logicalDate
	case 7, 8:
		n.logical.kind, n.logical.unit = logicalTime, n.converted-6
	case 9, 10:
		n.logical.kind, n.logical.unit = logicalTimestamp, n.converted-8
	case 11, 12, 13, 14:
		n.logical.kind, n.logical.unsigned = logicalInteger, true
	case 19:
		n.logical.kind = logicalJSON
	case 21:
		n.logical.kind = logicalInterval
	}
}

// element of a list, and key and value of a map, stand in a repeated group of their own, with names and depths that differ by writer.
// entries gives what the repeated field below a LIST or MAP is; nil where the field is none.
func (n *node) entries() *node {
	if (n.logical.kind != logicalList && n.logical.kind != logicalMap) || len(n.children) != 1 || n.children[0].repeated != repeated {
		return nil
	}
	return n.children[0]
}

// item is what one of a list's repeated groups stands for: its only field, but for the layouts of old writers in which the
// group itself is the element.
func (n *node) item(list *node) *node {
	if len(n.children) == 1 && n.name != "array" && n.name != list.name+"_tuple" {
		return n.children[0]
	}
	return n
}
