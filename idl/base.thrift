// Types that every service of clic shares.
//
// ResultCode and ServiceBaseResult are the old system's; their wire form never changes. New enum values and new optional
// fields may be added, with new numbers.

namespace java fdu.daslab.thrift.base
namespace py fdu.daslab.thrift.base
namespace go base

enum ResultCode {
  SUCCESS = 0,
  PARAMETER_ERROR = 1,
  EXCEPTION = 2
}

struct ServiceBaseResult {
  1: ResultCode resultCode,
  2: string message
}

/** What kind of mistake an error is; the shell derives its exit status from it. */
enum ErrorCode {
  UNKNOWN = 0,
  /** The request or the plan is wrong; repeating it is useless. */
  INVALID = 1,
  NOT_FOUND = 2,
  EXISTS = 3,
  /** The state forbids it (suspending a stage that has ended, say). */
  REFUSED = 4,
  /** Not ready yet (the result of a stage that has not completed). */
  NOT_READY = 5,
  /** The master cannot serve this now; repeat it later. */
  UNAVAILABLE = 6,
  /** Not allowed (a path outside of the configured directories). */
  DENIED = 7,
  /** Larger than the configured bounds. */
  TOO_LARGE = 8,
  INTERNAL = 9
}

/** Something that is wrong with a plan, or worth knowing about it. */
struct Diagnostic {
  /** "error", "warning" or "note" */
  1: string severity,
  2: string file,
  3: i32 line,
  4: i32 column,
  /** The field's path, such as spec.templates[1].container.image. */
  5: string field,
  6: string message,
  7: string hint,
  /** Short and stable, such as "unknown-template". */
  8: string rule
}

/** Every error that the new calls raise. */
exception ClicError {
  1: ErrorCode code,
  2: string message,
  /** The argument or field that is wrong, or empty. */
  3: string field,
  /** What to do about it, or empty. */
  4: string hint,
  /** For plans: everything that is wrong, not only the first. */
  5: optional list<Diagnostic> diagnostics,
  /** Set where repeating the same call may succeed: after so many milliseconds. */
  6: optional i64 retryAfterMillis
}
