package store

import "slices"

// Matches reports whether a header is one that the query asks for. Cursor and Limit say nothing about that.
func (q *Query) Matches(h *Header) bool {
	if len(q.Statuses) > 0 && !slices.Contains(q.Statuses, h.Status) || q.Plan != "" && q.Plan != h.Plan {
		return false
	}
	for k, v := range q.Labels {
		if got, ok := h.Labels[k]; !ok || got != v {
			return false
		}
	}
	return (q.Since == 0 || h.Submitted >= q.Since) && (q.Before == 0 || h.Submitted < q.Before)
}
