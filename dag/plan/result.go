package plan

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// ResultPath finds the output path of a stage of the CLIC form in its operator file (--dagPath): that of the first
// operator that has one. The file may still be incomplete; then there is none.
func ResultPath(dagFile []byte) (string, bool) {
	if len(dagFile) > MaxSize {
		return "", false
	}
	ds := &collector{}
	root := readTree(dagFile, ds)
	operators := child(root, (*where)(nil).at("operators"))
	if operators = target(operators); operators == nil || operators.Kind != yaml.SequenceNode {
		return "", false
	}
	for _, op := range operators.Content {
		params := child(op, (*where)(nil).at("params"))
		if params = target(params); params == nil {
			continue
		}
		path := target(child(params, (*where)(nil).at("outputPath")))
		if path != nil && path.Kind == yaml.ScalarNode && strings.TrimSpace(path.Value) != "" {
			return strings.TrimSpace(path.Value), true
		}
	}
	return "", false
}
