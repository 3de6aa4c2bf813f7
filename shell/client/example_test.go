package client_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
)

func Example() {
	c := client.New(client.Config{Address: "127.0.0.1:7777"})
	defer func() { _ = c.Close() }()

	answer, err := c.Submit(context.Background(), &master.Submission{Plan: "…", RequestId: new("nightly-2026-03-05")})
	if refused, ok := errors.AsType[*base.ClicError](err); ok {
		for _, d := range refused.Diagnostics {
			fmt.Println(d.Line, d.Message)
		}
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer.TaskName)
}
