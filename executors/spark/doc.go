// Package spark runs Spark applications. It is a translator: an attempt whose template asks for Spark becomes one that another
// executor runs, a pod or a process, so that adoption, epochs, cancelling, logs and pauses are that executor's. What a Spark
// application has beyond a program is added here: the reason of a failure is looked for in the driver's log, progress is read from the
// driver, and where Spark itself makes the driver, that is watched instead of whoever submitted it.
//
// The same description of an application (package dag/sparkapp) runs in six ways:
//
//	native              the base's pod is the driver; nothing of Spark runs outside of it
//	client              the base's pod runs spark-submit in client mode, and so is the driver
//	cluster             the base's pod runs spark-submit in cluster mode; the driver is a pod of its own, whose state decides
//	standalone          the base's pod or process runs spark-submit in client mode, for a standalone master
//	standalone-cluster  the standalone master's REST server is told to run the driver; there is no base (NewStandalone)
//	local               the base's process runs spark-submit, with master local[*] or any other
package spark
