// Package rpc serves the master's Thrift services: TaskService for people and their tools, SchedulerService for stage
// programs. It translates between Thrift types and the engine's and decides nothing itself.
//
// One port takes every form of client: binary or compact protocol, framed or not, and THeader, found out from the first
// bytes of a connection and answered in the same form. Calls name their service ("TaskService:getTask", as Thrift's
// multiplexed protocol does); a bare method name works as well, since no two services share one.
//
// Thrift's own server is not used: it bounds neither connections nor the time a client may take, logs through a global
// logger, and cannot end its idle connections alone. The generated processors are not used either: they start a goroutine
// with a 5 ms ticker per call, run a handler and read its arguments under the same deadline, and can answer errors with
// one code only. The generated argument and result types are.
package rpc
