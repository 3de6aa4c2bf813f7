// The old system's own types, as its clients were generated from them. Nothing is ever added here.

namespace java fdu.daslab.thrift.base
namespace py fdu.daslab.thrift.base

enum ResultCode {
  SUCCESS = 0,
  PARAMETER_ERROR = 1,
  EXCEPTION = 2
}

struct ServiceBaseResult {
  1: ResultCode resultCode,
  2: string message
}
