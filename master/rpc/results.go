package rpc

import (
	"context"
	"fmt"
	"strings"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/results"
	"github.com/clic-orchestrator/clic/master/store"
)

// kindValue is the kind of a result that is no file but the stage's own output.
const kindValue = "value"

// GetResult_ says where the result of a completed stage is, and what is there.
func (s *Service) GetResult_(ctx context.Context, stageID string) (*master.ResultInfo, error) {
	ref, err := s.result(ctx, stageID)
	if err != nil {
		return nil, err
	}
	if ref.Path == "" {
		return valueInfo(ref), nil
	}
	info, err := s.results.Stat(ctx, ref.Path)
	if err != nil {
		return nil, err
	}
	return resultInfo(ref, info), nil
}

// PreviewResult_ gives the first lines of a result; 10 unless told.
func (s *Service) PreviewResult_(ctx context.Context, stageID string, lines int32) (*master.Preview, error) {
	const standard, most = 10, 10_000
	n, err := within("lines", int(lines), standard, most)
	if err != nil {
		return nil, err
	}
	ref, err := s.result(ctx, stageID)
	if err != nil {
		return nil, err
	}
	if ref.Path == "" {
		return valuePreview(ref, n), nil
	}
	p, err := s.results.Head(ctx, ref.Path, n)
	if err != nil {
		return nil, err
	}
	return &master.Preview{
		Result_: resultInfo(ref, &p.Info), Lines: list(p.Lines), Columns: p.Columns, Rows: p.Rows, More: p.More,
	}, nil
}

// result finds the result of a stage: a path or a value.
func (s *Service) result(ctx context.Context, stageID string) (*engine.ResultRef, error) {
	ref, err := s.engine.ResultPath(ctx, stageID)
	if err != nil {
		return nil, err
	}
	if ref.Path == "" && ref.Value == nil {
		return nil, fmt.Errorf("stage %s names no result: %w", stageID, store.ErrNotFound)
	}
	return ref, nil
}

func resultInfo(ref *engine.ResultRef, info *results.Info) *master.ResultInfo {
	return &master.ResultInfo{
		StageId: ref.StageID, Path: ref.Path, Kind: string(info.Kind), Size: info.Size,
		Files: clamp32(info.Files), Format: string(info.Format), Note: unlessZero(info.Note),
	}
}

func valueInfo(ref *engine.ResultRef) *master.ResultInfo {
	return &master.ResultInfo{StageId: ref.StageID, Kind: kindValue, Size: int64(len(*ref.Value)), Format: "text"}
}

func valuePreview(ref *engine.ResultRef, n int) *master.Preview {
	lines := strings.Split(strings.TrimSuffix(*ref.Value, "\n"), "\n")
	return &master.Preview{
		Result_: valueInfo(ref), Lines: lines[:min(n, len(lines))], More: len(lines) > n,
	}
}

// list is l, or an empty list: fields that are not optional are always there on the wire.
func list(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}
