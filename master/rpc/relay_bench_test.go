package rpc

import (
	"context"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// BenchmarkReport is a stage's report on a kept connection, to the master that leads and through another one.
func BenchmarkReport(b *testing.B) {
	leader, at := start(b, Limits{})
	leader.leads(map[string]method{"postDataPrepared": posted(nil)})
	follower, through := start(b, Limits{})
	follower.Follow(at)
	for _, way := range []struct{ name, addr string }{{"direct", at}, {"relayed", through}} {
		b.Run(way.name, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				p := oldForm().client(dial(b, way.addr))
				stage := master.NewSchedulerServiceClient(thrift.NewTStandardClient(p, thrift.NewTMultiplexedProtocol(p, "SchedulerService")))
				for pb.Next() {
					if got, err := stage.PostDataPrepared(context.Background(), "wordcount-abcdefgh-java-exec-17"); err != nil || got.ResultCode != base.ResultCode_SUCCESS {
						b.Error(got, err)
						return
					}
				}
			})
		})
	}
}
