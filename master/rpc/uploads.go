package rpc

import (
	"context"
	"fmt"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/uploads"
)

// maxPart bounds a part of an upload in bytes.
const maxPart = 4 << 20

// maxUploads bounds the contents of one submission.
const maxUploads = 1000

var errNoUploads = &argumentError{
	field: "uploads", message: "this master takes no uploads",
	hint: "set uploads.dir in its configuration to a directory that stages can read",
}

// Upload takes a part of a content that plans can use.
func (s *Service) Upload(ctx context.Context, c *master.Content, offset int64, data []byte) (*master.UploadState, error) {
	switch {
	case s.uploads == nil:
		return nil, errNoUploads
	case c == nil:
		return nil, missing("content")
	case len(data) > maxPart:
		return nil, fmt.Errorf("a part of %d bytes: %w of %d", len(data), ErrTooLarge, maxPart)
	case offset < 0:
		return nil, &argumentError{field: "offset", message: "must not be negative"}
	}
	state, err := s.uploads.Put(ctx, content(c), offset, data)
	if err != nil {
		return nil, err
	}
	return &master.UploadState{Offset: state.Offset, Complete: state.Complete, URI: state.URI}, nil
}

func content(c *master.Content) uploads.Content {
	return uploads.Content{SHA256: c.Sha256, Size: c.Size, Name: c.Name}
}

// claim gives what keeps the uploads of a submission for its task; nil where it has none.
func (s *Service) claim(list []*master.Content) (func(ctx context.Context, task string) error, error) {
	switch {
	case len(list) == 0:
		return nil, nil
	case s.uploads == nil:
		return nil, errNoUploads
	case len(list) > maxUploads:
		return nil, fmt.Errorf("%d uploads: %w of %d", len(list), ErrTooLarge, maxUploads)
	}
	all := make([]uploads.Content, len(list))
	for i, c := range list {
		if c == nil {
			return nil, missing("uploads")
		}
		all[i] = content(c)
	}
	return func(ctx context.Context, task string) error { return s.uploads.Claim(ctx, task, all) }, nil
}
