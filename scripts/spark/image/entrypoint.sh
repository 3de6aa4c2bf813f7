#!/bin/bash
# What a container of the Spark image runs, with the two words that Spark itself uses on Kubernetes:
#
#   driver ARGUMENTS...     the driver, in this container: spark-submit in client mode
#   executor                an executor; everything is in its environment
#
# Anything else is run as it is.
set -euo pipefail

# A directory with a file spark.properties is mounted where Spark makes pods itself.
conf=${SPARK_CONF_DIR:-$SPARK_HOME/conf}

case ${1-} in
driver)
	shift
	command=("$SPARK_HOME/bin/spark-submit" --deploy-mode client)
	if [ -n "${SPARK_DRIVER_BIND_ADDRESS-}" ]; then
		command+=(--conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS"
			--conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS")
	fi
	command+=("$@")
	;;
executor)
	shift
	options=()
	while IFS= read -r name; do
		options+=("${!name}")
	done < <(compgen -e | grep '^SPARK_JAVA_OPT_' | sort -t_ -k4 -n)
	command=("$JAVA_HOME/bin/java" "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY"
		-cp "$conf:$SPARK_HOME/jars/*:$PWD/*"
		org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend
		--driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES"
		--app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP"
		--resourceProfileId "${SPARK_RESOURCE_PROFILE_ID:-0}" --podName "$SPARK_EXECUTOR_POD_NAME")
	;;
*) command=("$@") ;;
esac
exec /usr/bin/tini -s -- "${command[@]}"
