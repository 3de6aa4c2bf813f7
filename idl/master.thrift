// The master's services. SchedulerService is for stage programs, TaskService for people and their tools.
//
// The methods of the first block of each service are the old system's: same names, ids and types, byte for byte. The
// others are newer. All times are milliseconds since the Unix epoch, 0 for "not yet"; all durations are milliseconds.

include "base.thrift"

namespace java fdu.daslab.thrift.master
namespace py fdu.daslab.thrift.master
namespace go master

/** Which attempt of which stage a report is about. */
struct AttemptRef {
  1: string stageId,
  /** The attempt's number from 0 (CLIC_ATTEMPT in its environment); absent: the current one. */
  2: optional i32 attempt,
  /** The attempt's token (CLIC_TOKEN in its environment). */
  3: optional string token
}

struct StageOutputs {
  1: optional string result,
  2: optional map<string, string> parameters
}

struct ReportAnswer {
  /** False where the report came too late or for another attempt: nothing was changed. */
  1: bool accepted,
  2: string message,
  /** True where the stage should stop what it is doing. */
  3: bool cancelRequested
}

service SchedulerService {
  base.ServiceBaseResult postStageStarted(1: string stageId, 2: map<string, string> submitMsg),
  base.ServiceBaseResult postDataPrepared(1: string stageId),
  base.ServiceBaseResult postStageCompleted(1: string stageId, 2: map<string, string> submitMsg),

  ReportAnswer reportStarted(1: AttemptRef attempt, 2: map<string, string> info) throws (1: base.ClicError error),
  ReportAnswer reportPrepared(1: AttemptRef attempt) throws (1: base.ClicError error),
  ReportAnswer reportCompleted(1: AttemptRef attempt, 2: StageOutputs outputs) throws (1: base.ClicError error),
  ReportAnswer reportFailed(1: AttemptRef attempt, 2: string reason, 3: i32 exitCode) throws (1: base.ClicError error),
  ReportAnswer heartbeat(1: AttemptRef attempt) throws (1: base.ClicError error),
  ReportAnswer reportProgress(1: AttemptRef attempt, 2: i64 done, 3: i64 total, 4: string message) throws (1: base.ClicError error)
}

enum TaskState { NEW = 0, RUNNING = 1, SUSPENDED = 2, COMPLETED = 3, FAILED = 4, CANCELLED = 5 }

enum StageState {
  WAITING = 0, LAUNCHING = 1, RUNNING = 2, PREPARED = 3, COMPLETED = 4, FAILED = 5, SUSPEND = 6, RETRYING = 7,
  CANCELLING = 8, CANCELLED = 9, SKIPPED = 10, OMITTED = 11
}

enum NodeKind { STAGE = 0, DAG = 1, STEPS = 2, STEP_GROUP = 3, FAN_OUT = 4, RETRY = 5, GATE = 6 }

enum HoldMode {
  /** Hold what was not launched yet; refused for a stage that runs. */
  HOLD = 0,
  /** Let the stage run to its end, hold what depends on it. */
  DRAIN = 1,
  /** Stop the stage's attempt; it runs again after continue. */
  REQUEUE = 2
}

struct Submission {
  /** The task is named after it; empty: the plan's own metadata.name or generateName. */
  1: string planName,
  /** The plan, as YAML. */
  2: string plan,
  /** The file it came from, for messages only. */
  3: optional string fileName,
  /** Values for the workflow's parameters. */
  4: optional map<string, string> parameters,
  5: optional map<string, string> labels,
  6: optional i32 priority,
  /** Validate only; nothing is started. */
  7: optional bool dryRun,
  /** Idempotency key: the same key twice submits once. */
  8: optional string requestId,
  9: optional string owner,
  /** Options for executors (a namespace, a working directory). */
  10: optional map<string, string> options,
  /** How long the task is kept after its end; absent: the master's default. */
  11: optional i64 retainMillis,
  /** Start with everything held, as if the entry had been suspended. */
  12: optional bool suspended,
  /** What was uploaded for the task. It is kept for as long as the task is, unless another one uses it too. */
  13: optional list<Content> uploads
}

/** A file that is uploaded: the same bytes under the same name are the same content. */
struct Content {
  /** Of all its bytes, in lower-case hexadecimal digits. */
  1: string sha256,
  2: i64 size,
  /** The file's name, without directories. */
  3: string name
}

struct UploadState {
  /** The first byte that is missing: the next part begins there. */
  1: i64 offset,
  2: bool complete,
  /** Where stages find it once it is complete. */
  3: string uri
}

struct SubmitAnswer {
  1: string taskName,
  /** False where requestId had been submitted before. */
  2: bool created,
  3: list<base.Diagnostic> diagnostics,
  4: i32 stages
}

struct Hold {
  1: i64 id,
  2: string rootStageId,
  3: HoldMode mode,
  4: string who,
  5: string reason,
  6: i64 since,
  7: optional i64 untilTime
}

struct Failure {
  /** exit, reported, unreported, output, oom, timeout, evicted, lost, launch, plan, child, upstream */
  1: string kind,
  2: i32 exitCode,
  3: string message
}

struct Explanation {
  /** parents, hold, limit, queue, retry, executor, running, gate, ended */
  1: string kind,
  /** One line for people. */
  2: string text,
  /** The stages it is about (parents that are not done, roots of holds). */
  3: list<string> stages,
  /** When it ends by itself, if known. */
  4: optional i64 untilTime
}

struct TaskInfo {
  1: string taskName,
  2: string planName,
  3: TaskState state,
  4: string message,
  5: i64 submitted,
  6: i64 started,
  7: i64 ended,
  8: i32 priority,
  9: map<string, string> labels,
  10: map<string, string> parameters,
  /** Stages per state. */
  11: map<string, i32> counts,
  12: i32 stages,
  13: list<Hold> holds,
  14: string owner,
  15: i64 expires,
  /** Outputs that stages made known to the whole task (globalName). */
  16: map<string, string> outputs,
  17: optional i64 remainingMillis,
  18: i64 seq,
  19: string form,
  20: optional i64 deadline,
  /** Set while the master cannot reach its store: since when. What it says is what it knew then. */
  21: optional i64 staleSince
}

struct AttemptInfo {
  1: i32 number,
  2: i64 started,
  3: i64 ended,
  4: optional Failure failure
}

struct StageInfo {
  1: string stageId,
  2: string taskName,
  3: string name,
  4: string path,
  5: NodeKind kind,
  6: StageState state,
  7: string template,
  8: string platform,
  9: list<string> parents,
  10: list<string> children,
  /** The group it is in, or empty. */
  11: string group,
  12: i32 attempt,
  13: i32 retries,
  14: i64 launched,
  15: i64 started,
  16: i64 prepared,
  17: i64 ended,
  18: optional Failure failure,
  19: string message,
  20: optional i32 exitCode,
  21: optional StageOutputs outputs,
  22: list<Hold> holds,
  23: list<AttemptInfo> attempts,
  24: string info,
  25: list<string> warnings,
  26: map<string, string> inputs,
  27: optional i64 progressDone,
  28: optional i64 progressTotal,
  29: optional string progressMessage,
  30: optional i64 cpuMillis,
  31: optional i64 maxRssBytes,
  32: optional i64 retryAt,
  33: optional Explanation explanation,
  34: i32 index,
  /** Set while the master cannot reach its store: since when. What it says is what it knew then. */
  35: optional i64 staleSince
}

struct TaskQuery {
  1: optional list<TaskState> states,
  2: optional string plan,
  3: optional map<string, string> labels,
  /** since <= submitted < before */
  4: optional i64 since,
  5: optional i64 before,
  6: optional string cursor,
  /** 50 unless told, at most 1000 */
  7: optional i32 limit
}

struct TaskPage {
  1: list<TaskInfo> tasks,
  2: string nextCursor,
  /** Set while the master cannot reach its store: since when. The page then has only tasks that have not ended. */
  3: optional i64 staleSince
}

struct StageQuery {
  1: string taskName,
  2: optional list<StageState> states,
  /** Groups too, not only stages. */
  3: optional bool groups,
  4: optional bool explain,
  5: optional i32 after,
  /** 1000 unless told, at most 10000 */
  6: optional i32 limit
}

/** nextAfter is the value of after that continues, or -1 at the end. */
struct StagePage { 1: list<StageInfo> stages, 2: i32 nextAfter }

struct Event {
  1: i64 seq,
  2: i64 at,
  /** Empty for the task itself. */
  3: string stageId,
  4: string fromState,
  5: string toState,
  6: i32 attempt,
  7: string message,
  8: string who
}

struct EventPage {
  1: list<Event> events,
  /** Give it as the cursor of the next call. */
  2: i64 cursor,
  3: TaskState state,
  /** True once the task has ended and every event was given. */
  4: bool done
}

struct LogRequest {
  1: string stageId,
  /** Absent: the newest. */
  2: optional i32 attempt,
  /** First byte; negative counts from the end. */
  3: optional i64 offset,
  /** Most bytes in the answer; 65536 unless told, at most 4 MiB. */
  4: optional i32 limit,
  5: optional i32 tailLines,
  /** "stdout", "stderr" or empty for both. */
  6: optional string stream,
  /** Wait up to so long for more, where there is nothing after offset yet. */
  7: optional i64 waitMillis,
  /**
   * Leaves out what was written before; offsets then count from there. Where it is not known when each line was written, all is given
   * of a log that was written to since then, and nothing of another.
   */
  8: optional i64 since
}

struct LogChunk {
  1: binary data,
  /** Offset of the byte after data. */
  2: i64 nextOffset,
  /** True where the attempt has ended and nothing follows. */
  3: bool done,
  4: i32 attempt
}

struct ResultInfo {
  1: string stageId,
  2: string path,
  /** file, directory, value (outputs.result), missing */
  3: string kind,
  4: i64 size,
  5: i32 files,
  /** text, csv, jsonl, parquet, orc, …, or empty where unknown */
  6: string format,
  /** For people: what a result is that is not shown and what to do, or what of it is not shown. */
  7: optional string note
}

struct Preview {
  1: ResultInfo result,
  /** Raw lines, in order. */
  2: list<string> lines,
  /** For csv and jsonl. */
  3: optional list<string> columns,
  4: optional list<list<string>> rows,
  /** True where there is more. */
  5: bool more
}

struct RetryPlan {
  /** The stages that would run again, and the completed ones that stay. */
  1: list<string> reset,
  2: list<string> kept
}

/** A master of several that share a store. */
struct Member {
  1: string id,
  /** Where the other masters reach it. */
  2: string address,
  3: string version,
  4: string host,
  5: i32 pid,
  6: i64 started,
  /** When it last gave a sign of life, and how long before the answer that was. */
  7: i64 seen,
  8: i64 silentMillis,
  9: bool leads
}

/** Why an executor can do nothing, and since when. */
struct ExecutorTrouble {
  1: string executor,
  2: string reason,
  3: i64 since
}

struct MasterInfo {
  1: string version,
  2: string address,
  3: string store,
  4: list<string> executors,
  5: i64 started,
  6: i64 epoch,
  7: i32 activeTasks,
  8: i32 activeStages,
  /** "leader", "follower", or "single" where the store serves one master only. Of the master that was asked, as is address. */
  9: string role,
  /** Where the leader is reached; empty while there is none. */
  10: string leader,
  /** All masters of the store, the leader first; empty where the store serves one only. */
  11: list<Member> members,
  /** Set while the store cannot be reached: since when, and why. */
  12: optional i64 staleSince,
  13: string storeTrouble,
  /** Executors that can do nothing at the moment. */
  14: list<ExecutorTrouble> troubles
}

service TaskService {
  void submitPlan(1: string planName, 2: string planDagPath),
  list<map<string, string>> listAllTask(),
  map<string, string> getTaskInfo(1: string planName),
  map<string, string> getStageInfo(1: string stageId),
  list<string> getStageIdOfTask(1: string planName),
  bool suspendStage(1: string stageId),
  bool continueStage(1: string stageId),
  string getStageResult(1: string stageId),

  SubmitAnswer submit(1: Submission submission) throws (1: base.ClicError error),
  TaskInfo getTask(1: string taskName) throws (1: base.ClicError error),
  TaskPage listTasks(1: TaskQuery query) throws (1: base.ClicError error),
  StageInfo getStage(1: string stageId) throws (1: base.ClicError error),
  StagePage listStages(1: StageQuery query) throws (1: base.ClicError error),
  Explanation explain(1: string stageId) throws (1: base.ClicError error),
  /** The plan as it was submitted. */
  string getPlan(1: string taskName) throws (1: base.ClicError error),
  /** Returns the hold. */
  Hold suspend(1: string stageId, 2: HoldMode mode, 3: string reason, 4: i64 untilMillis, 5: string who) throws (1: base.ClicError error),
  /** Suspends or continues the whole task by its entry. */
  Hold suspendTask(1: string taskName, 2: HoldMode mode, 3: string reason, 4: i64 untilMillis, 5: string who) throws (1: base.ClicError error),
  void resume(1: string stageId, 2: string who) throws (1: base.ClicError error),
  void resumeTask(1: string taskName, 2: string who) throws (1: base.ClicError error),
  void cancelTask(1: string taskName, 2: string reason, 3: bool runHandlers, 4: string who) throws (1: base.ClicError error),
  void cancelStage(1: string stageId, 2: string reason, 3: string who) throws (1: base.ClicError error),
  void skipStage(1: string stageId, 2: string reason, 3: string who) throws (1: base.ClicError error),
  /** What retryTask would do. */
  RetryPlan planRetry(1: string taskName, 2: list<string> stageIds) throws (1: base.ClicError error),
  RetryPlan retryTask(1: string taskName, 2: list<string> stageIds, 3: string who) throws (1: base.ClicError error),
  /**
   * Refused for a task that has not ended, unless force, which cancels it first. With outputs, what its stages have declared as their
   * outputs, and no other task declares, is deleted soon after.
   */
  void deleteTask(1: string taskName, 2: bool force, 3: string who, 4: bool outputs) throws (1: base.ClicError error),
  /** Events after the cursor (0: from the beginning); waits up to waitMillis (at most 60000) for the first. */
  EventPage watch(1: string taskName, 2: i64 cursor, 3: i32 limit, 4: i64 waitMillis) throws (1: base.ClicError error),
  LogChunk readLog(1: LogRequest request) throws (1: base.ClicError error),
  ResultInfo getResult(1: string stageId) throws (1: base.ClicError error),
  Preview previewResult(1: string stageId, 2: i32 lines) throws (1: base.ClicError error),
  /**
   * Takes a part of a content (at most 4 MiB), and says what is missing. Parts come in order; one that does not begin where the last one
   * ended is dropped, so that an empty part asks how far the upload has come.
   */
  UploadState upload(1: Content content, 2: i64 offset, 3: binary data) throws (1: base.ClicError error),
  MasterInfo getMasterInfo() throws (1: base.ClicError error)
}
