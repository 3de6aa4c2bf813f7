package rpc

import (
	"bytes"
	"context"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// encodings are the protocols that clients speak.
var encodings = map[string]func(thrift.TTransport, *thrift.TConfiguration) thrift.TProtocol{
	"binary": func(t thrift.TTransport, c *thrift.TConfiguration) thrift.TProtocol {
		return thrift.NewTBinaryProtocolConf(t, c)
	},
	"compact": func(t thrift.TTransport, c *thrift.TConfiguration) thrift.TProtocol {
		return thrift.NewTCompactProtocolConf(t, c)
	},
}

// FuzzRelay copies any bytes as arguments in both protocols. Whatever is taken is bounded, and comes back the same from every
// protocol.
func FuzzRelay(f *testing.F) {
	const most = 1 << 20
	ctx := context.Background()
	for _, v := range []thrift.TStruct{
		&master.TaskServiceSubmitArgs{Submission: &master.Submission{
			Plan: "spec: {}", Parameters: map[string]string{"a": "b"}, Priority: new(int32(3)), DryRun: new(true),
		}},
		&master.TaskServiceListTasksArgs{Query: &master.TaskQuery{States: []master.TaskState{1, 2}}},
		&master.SchedulerServiceReportFailedArgs{Attempt: &master.AttemptRef{StageId: "s", Attempt: new(int32(1))}, ExitCode: -1},
		everyType{},
	} {
		for _, encoding := range encodings {
			buf := thrift.NewTMemoryBuffer()
			if err := v.Write(ctx, encoding(buf, unbounded())); err != nil {
				f.Fatal(err)
			}
			b := bytes.Clone(buf.Bytes())
			f.Add(b)
			f.Add(b[:len(b)/2])
		}
	}
	f.Add(bytes.Repeat([]byte{0x0c, 0, 1}, 100))
	f.Add([]byte{0x0f, 0, 1, 0x0c, 0x7f, 0xff, 0xff, 0xff, 0})
	conf := &thrift.TConfiguration{MaxMessageSize: most, MaxFrameSize: most, MaxContainerSize: 10_000}
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, encoding := range encodings {
			in := &thrift.TMemoryBuffer{Buffer: bytes.NewBuffer(bytes.Clone(b))}
			r, err := rawOf(ctx, encoding(in, conf), most)
			if err != nil {
				continue
			}
			if len(r) > most {
				t.Fatalf("%s: %d bytes became %d", name, len(b), len(r))
			}
			sameEverywhere(t, name, r)
			// What the generated code makes of it is its own affair: it does not look at the types in containers.
			var args master.TaskServiceSubmitArgs
			_ = args.Read(ctx, r.protocol(conf))
		}
	})
}

// sameEverywhere copies to every protocol and back.
func sameEverywhere(t *testing.T, from string, r raw) {
	t.Helper()
	ctx := context.Background()
	for name, encoding := range encodings {
		buf := thrift.NewTMemoryBuffer()
		if err := r.Write(ctx, encoding(buf, unbounded())); err != nil {
			t.Fatalf("from %s to %s: %v", from, name, err)
		}
		back, err := rawOf(ctx, encoding(buf, unbounded()), 1<<31-1)
		if err != nil {
			t.Fatalf("from %s to %s and back: %v", from, name, err)
		}
		// A compact map without entries has lost its types, which a second copy shows no more.
		var again thrift.TMemoryBuffer
		again.Buffer = &bytes.Buffer{}
		if err := back.Write(ctx, encoding(&again, unbounded())); err != nil {
			t.Fatal(err)
		}
		if twice, err := rawOf(ctx, encoding(&again, unbounded()), 1<<31-1); err != nil || !bytes.Equal(twice, back) {
			t.Fatalf("from %s to %s: %x, then %x, %v", from, name, back, twice, err)
		}
	}
}

// What clients send means the same after it was copied.
func TestCopyKeepsTheMeaning(t *testing.T) {
	ctx := t.Context()
	want := master.TaskServiceSubmitArgs{Submission: &master.Submission{
		PlanName: "p", Plan: "spec: {}\x00\xff", FileName: new(""), Parameters: map[string]string{"a": "b", "": ""}, Labels: map[string]string{},
		Priority: new(int32(-3)), DryRun: new(false), RequestId: new("id"), RetainMillis: new(int64(1 << 60)), Suspended: new(true),
	}}
	for name, encoding := range encodings {
		buf := thrift.NewTMemoryBuffer()
		if err := want.Write(ctx, encoding(buf, unbounded())); err != nil {
			t.Fatal(err)
		}
		r, err := rawOf(ctx, encoding(buf, unbounded()), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var got master.TaskServiceSubmitArgs
		if err := got.Read(ctx, r.protocol(unbounded())); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestCopyBounds(t *testing.T) {
	ctx := t.Context()
	args := &master.TaskServiceGetPlanArgs{TaskName: "0123456789"}
	r, err := encoded(ctx, args)
	if err != nil {
		t.Fatal(err)
	}
	for limit, fits := range map[int]bool{len(r): true, len(r) - 1: false, 0: false} {
		_, err := rawOf(ctx, r.protocol(unbounded()), limit)
		if (err == nil) != fits || !fits && !tooLarge(err) {
			t.Errorf("limit %d of %d: %v", limit, len(r), err)
		}
	}
}

func BenchmarkCopy(b *testing.B) {
	ctx := b.Context()
	r, err := encoded(ctx, &master.SchedulerServicePostStageCompletedArgs{StageId: "wordcount-abcdefgh-java-exec-17", SubmitMsg: map[string]string{"k": "v"}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rawOf(ctx, r.protocol(unbounded()), 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
