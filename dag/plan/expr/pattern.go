package expr

import (
	"regexp"
	"regexp/syntax"
)

// compilePattern is regexp.Compile for patterns whose program stays small: repetitions multiply, so that a short pattern can
// take hundreds of megabytes.
func compilePattern(pattern string) (*regexp.Regexp, error) {
	size, err := patternSize(pattern)
	if err != nil {
		return nil, err
	}
	if size > MaxPattern {
		return nil, limitError(0, "regular expression needs %d instructions, more than %d", size, MaxPattern)
	}
	return regexp.Compile(pattern)
}

// patternSize estimates the instructions of a pattern's program from above, without making it.
func patternSize(pattern string) (int, error) {
	if len(pattern) > MaxPattern {
		return len(pattern), nil
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, err
	}
	return treeSize(tree), nil
}

// treeSize adds up a syntax tree; it saturates.
func treeSize(re *syntax.Regexp) int {
	const most = 1 << 30
	size := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		size = min(most, size+treeSize(sub))
	}
	if re.Op == syntax.OpRepeat {
		size = min(most, size*max(re.Min, re.Max, 1)) // Max is -1 for "or more"
	}
	return size
}

// patternCost is the number of steps that matching a text may take: in the worst case a matcher visits every instruction at
// every byte.
func patternCost(pattern, text string) int {
	size, err := patternSize(pattern)
	if err != nil {
		return 1
	}
	return 1 + size/4 + int(int64(size)*int64(len(text))/64)
}
