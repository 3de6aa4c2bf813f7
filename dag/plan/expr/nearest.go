package expr

// Nearest returns the candidate with the smallest edit distance to name that is close enough to suggest, the first of equals,
// or "". Close enough is a third of the name's length, at least one edit.
func Nearest(name string, candidates []string) string {
	if name == "" || len(name) > maxSuggest {
		return ""
	}
	best, bestDistance := "", max(1, len(name)/3)+1
	for _, c := range candidates {
		if c == "" || c == name || len(c) > maxSuggest || abs(len(c)-len(name)) >= bestDistance {
			continue
		}
		if d := editDistance(name, c, bestDistance); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// maxSuggest is the length beyond which names are not compared: the cost grows with its square.
const maxSuggest = 200

// editDistance counts insertions, deletions, replacements and swaps of neighbours, in bytes, upper and lower case being half
// way to equal: the same. It gives up at limit.
func editDistance(a, b string, limit int) int {
	var rows [3][maxSuggest + 1]int
	before, prev, cur := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if lower(a[i-1]) == lower(b[j-1]) {
				cost = 0
			}
			d := min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			cur[j] = d
			least = min(least, d)
		}
		if least >= limit {
			return limit
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
