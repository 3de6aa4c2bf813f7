# shellcheck shell=bash
# How each program of a cluster is started (scripts/cluster.sh reads this file; it sets dir, bin and node).

# components names them all, in the order of their start.
# shellcheck disable=SC2034 # read by the caller
components=(etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy coredns)

# command_of NAME sets the array command.
command_of() {
	# shellcheck disable=SC2034,SC2054 # read by the caller; the commas belong to options
	case $1 in
	etcd)
		command=("$bin/etcd" --data-dir="$dir/etcd" --unsafe-no-fsync --log-level=warn --quota-backend-bytes=4294967296
			--listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379
			--listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380
			--initial-cluster=default=http://127.0.0.1:2380)
		;;
	containerd) command=(containerd --config="$dir/config/containerd.toml") ;;
	kube-apiserver)
		command=("$bin/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --bind-address=0.0.0.0
			--advertise-address=10.244.0.1 --service-cluster-ip-range=10.96.0.0/16
			--client-ca-file="$dir/credentials/ca.crt" --tls-cert-file="$dir/credentials/kube-apiserver.crt"
			--tls-private-key-file="$dir/credentials/shared.key"
			--kubelet-client-certificate="$dir/credentials/admin.crt"
			--kubelet-client-key="$dir/credentials/shared.key"
			--kubelet-preferred-address-types=InternalIP
			--service-account-issuer=https://kubernetes.default.svc.cluster.local
			--service-account-key-file="$dir/credentials/service-accounts.key"
			--service-account-signing-key-file="$dir/credentials/service-accounts.key"
			--authorization-mode=Node,RBAC --allow-privileged=true)
		;;
	kube-controller-manager)
		# The rates are for thousands of simulated Jobs.
		command=("$bin/kube-controller-manager" --kubeconfig="$dir/credentials/kube-controller-manager.kubeconfig"
			--leader-elect=false --bind-address=127.0.0.1 --use-service-account-credentials=true
			--service-account-private-key-file="$dir/credentials/service-accounts.key"
			--root-ca-file="$dir/credentials/ca.crt"
			--kube-api-qps=1000 --kube-api-burst=2000 --concurrent-job-syncs=20)
		;;
	kube-scheduler)
		command=("$bin/kube-scheduler" --config="$dir/config/kube-scheduler.yaml" --bind-address=127.0.0.1)
		;;
	kubelet)
		command=("$bin/kubelet" --config="$dir/config/kubelet.yaml" --kubeconfig="$dir/credentials/kubelet.kubeconfig"
			--hostname-override="$node" --node-ip=10.244.0.1 --root-dir="$dir/kubelet"
			--cert-dir="$dir/kubelet/pki")
		;;
	kube-proxy) command=("$bin/kube-proxy" --config="$dir/config/kube-proxy.yaml") ;;
	coredns) command=("$bin/coredns" -conf "$dir/config/Corefile") ;;
	kwok)
		command=("$bin/kwok" --kubeconfig="$dir/credentials/admin.kubeconfig" --config="$dir/config/simulated.yaml"
			--manage-nodes-with-label-selector=clic.test/simulated=true --cidr=10.245.0.0/16
			--node-ip=10.244.0.1 --node-lease-duration-seconds=40 --server-address=127.0.0.1:10247 --v=WARN)
		;;
	*)
		echo "cluster.sh: unknown component \"$1\"; known: ${components[*]} kwok" >&2
		return 64
		;;
	esac
}
