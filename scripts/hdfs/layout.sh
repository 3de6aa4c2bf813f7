# What an HDFS of scripts/hdfs.sh is made of: its settings, ports, configuration and commands. That script sources it.
# shellcheck shell=bash disable=SC2034,SC2154 # that script reads what is set here, and sets root, dir, here, self, name, user and realm

# settings reads what up decided: address, base (the first of its ports), ha, kerberos, programs; and gives daemons, namenodes.
settings() {
	[ -e "$dir/settings" ] || return 1
	# shellcheck source=/dev/null # written by write_settings
	. "$dir/settings"
	if [ "${kerberos-}" = true ]; then
		daemons=(kdc namenode datanode1 datanode2)
		namenodes=(namenode)
		user=namenode
	elif [ "$ha" = true ]; then
		daemons=(journalnode namenode1 namenode2 datanode1 datanode2 httpfs)
		namenodes=(namenode1 namenode2)
	else
		daemons=(namenode datanode1 datanode2 httpfs)
		namenodes=(namenode)
	fi
}

# port WHAT prints the port of one of the services.
port() {
	local offset
	case $1 in
	namenode-rpc | namenode1-rpc) offset=0 ;;
	namenode-http | namenode1-http) offset=1 ;;
	namenode2-rpc) offset=2 ;;
	namenode2-http) offset=3 ;;
	journalnode-rpc) offset=4 ;;
	journalnode-http) offset=5 ;;
	httpfs) offset=6 ;;
	kdc) offset=7 ;;
	datanode1-data) offset=10 ;;
	datanode1-ipc) offset=11 ;;
	datanode1-http) offset=12 ;;
	datanode2-data) offset=13 ;;
	datanode2-ipc) offset=14 ;;
	datanode2-http) offset=15 ;;
	esac
	echo $((base + offset))
}

# free_ports prints the first of 16 ports in a row that nobody listens on and no other one of this script's has been given. They lie
# below those that the kernel gives away by itself.
free_ports() {
	local base taken ports
	taken=$(cat "$root"/*/settings 2>/dev/null | sed -n 's/^base=//p')
	ports=$(ss -Htan | awk '{ sub(/.*:/, "", $4); print $4 }' | sort -un)
	for ((base = 22000; base < 32000; base += 16)); do
		grep -qx "$base" <<<"$taken" && continue
		awk -v from=$base '$1 >= from && $1 < from + 16 { found = 1 } END { exit found }' <<<"$ports" || continue
		echo $base
		return
	done
	die 69 "no free ports"
}

# property NAME VALUE prints a property of Hadoop's configuration.
property() { echo "  <property><name>$1</name><value>$2</value></property>"; }

# addresses prints the part of hdfs-site.xml that says where everything listens, and who it is.
addresses() {
	property dfs.datanode.hostname "$address"
	[ "$kerberos" != true ] || principals
	if [ "$ha" != true ]; then
		property dfs.namenode.rpc-address "$address:$(port namenode-rpc)"
		property dfs.namenode.http-address "$address:$(port namenode-http)"
		return
	fi
	property dfs.nameservices clic
	property dfs.ha.namenodes.clic namenode1,namenode2
	local namenode
	for namenode in namenode1 namenode2; do
		property "dfs.namenode.rpc-address.clic.$namenode" "$address:$(port $namenode-rpc)"
		property "dfs.namenode.http-address.clic.$namenode" "$address:$(port $namenode-http)"
	done
	property dfs.namenode.shared.edits.dir "qjournal://$address:$(port journalnode-rpc)/clic"
	property dfs.journalnode.rpc-address "$address:$(port journalnode-rpc)"
	property dfs.journalnode.http-address "$address:$(port journalnode-http)"
	property dfs.journalnode.edits.dir "$dir/journalnode"
	property dfs.client.failover.proxy.provider.clic \
		org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider
	property dfs.ha.fencing.methods "shell(/bin/true)"
}

# principals prints the part of hdfs-site.xml that is about Kerberos. Datanodes of a test have neither ports of root nor certificates.
principals() {
	local daemon
	for daemon in namenode datanode; do
		property dfs.$daemon.kerberos.principal "$daemon/$address@$realm"
		property dfs.$daemon.keytab.file "$dir/kdc/keytab"
	done
	property dfs.web.authentication.kerberos.principal "HTTP/$address@$realm"
	property dfs.web.authentication.kerberos.keytab "$dir/kdc/keytab"
	property dfs.block.access.token.enable true
	property ignore.secure.ports.for.testing true
}

# uri prints what clients call the file system.
uri() { if [ "$ha" = true ]; then echo hdfs://clic; else echo "hdfs://$address:$(port namenode-rpc)"; fi; }

# configure writes the directories and the configuration of a new one.
configure() {
	local authentication=simple
	mkdir -p "$dir"/{bin,conf,log,run,tmp,httpfs-temp,kdc}
	printf 'address=%s\nbase=%s\nha=%s\nkerberos=%s\nprograms=%s\n' "$address" "$base" "$ha" "$kerberos" "$programs" >"$dir/settings"
	if [ "$kerberos" = true ]; then
		authentication=kerberos
		printf '%s\n' instance=DefaultKrbServer org.name=CLIC org.domain=TEST "kdc.bind.address=$address" "kdc.port=$(port kdc)" \
			transport=TCP max.ticket.lifetime=86400000 max.renewable.lifetime=604800000 debug=false >"$dir/kdc/properties"
	fi
	cp "$here"/hdfs/config/* "$dir/conf"
	addresses >"$dir/tmp/addresses"
	sed -i -e "s|@DEFAULT_FS@|$(uri)|; s|@DIR@|$dir|g; s|@USER@|$user|g; s|@ADDRESS@|$address|g; s|@HTTPFS_PORT@|$(port httpfs)|" \
		-e "s|@AUTHENTICATION@|$authentication|" \
		-e "/@ADDRESSES@/{r $dir/tmp/addresses" -e 'd}' "$dir"/conf/*.xml
	head -c 32 /dev/urandom | base64 >"$dir/conf/httpfs-signature.secret"
	chmod 600 "$dir/conf/httpfs-signature.secret"
	cat >"$dir/bin/hdfs" <<-END
		#!/usr/bin/env bash
		exec "$self" tool --name "$name" "\$@"
	END
	chmod +x "$dir/bin/hdfs"
}

# java_command HEAP CLASS ARGUMENT... sets command to what runs a class of Hadoop.
java_command() {
	local heap=$1 class=$2
	shift 2
	command=(env -u HADOOP_CONF_DIR java "-Xmx$heap" -Xss512k -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData
		-Djava.net.preferIPv4Stack=true --add-opens=java.base/java.lang=ALL-UNNAMED "-Dhttpfs.home.dir=$dir"
		"-Dhttpfs.config.dir=$dir/conf" "-Dhttpfs.log.dir=$dir/log" "-Dhttpfs.temp.dir=$dir/httpfs-temp"
		"-Djava.io.tmpdir=$dir/tmp" "-Dhadoop.root.logger=${logger:-INFO,console}"
		--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED "-Djava.security.krb5.conf=$dir/kdc/krb5.conf"
		-cp "$dir/conf:$programs:$programs/lib/*" "$class" "$@")
}

# command_of DAEMON sets command to what starts it.
command_of() {
	local server=org.apache.hadoop.hdfs.server identity=()
	[[ $1 != namenode? ]] || identity=("-Ddfs.ha.namenode.id=$1" "-Ddfs.namenode.name.dir=file://$dir/$1")
	case $1 in
	namenode*) java_command 192m $server.namenode.NameNode "${identity[@]}" "${@:2}" ;;
	journalnode) java_command 128m org.apache.hadoop.hdfs.qjournal.server.JournalNode ;;
	datanode?)
		java_command 128m $server.datanode.DataNode "-Ddfs.datanode.data.dir=file://$dir/$1" \
			"-Ddfs.datanode.address=$address:$(port "$1-data")" "-Ddfs.datanode.ipc.address=$address:$(port "$1-ipc")" \
			"-Ddfs.datanode.http.address=$address:$(port "$1-http")"
		;;
	httpfs) java_command 128m org.apache.hadoop.fs.http.server.HttpFSServerWebServer ;;
	kdc)
		java_command 128m org.apache.hadoop.minikdc.MiniKdc "$dir/kdc" "$dir/kdc/properties" "$dir/kdc/keytab" \
			"namenode/$address" "datanode/$address" "HTTP/$address" alice
		;;
	esac
}
