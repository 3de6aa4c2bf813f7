#!/usr/bin/env bash
# Make the certificates, keys and kubeconfigs of a cluster (scripts/cluster.sh runs it).
#
#   credentials.sh DIR NODE       DIR is where they go, NODE the node's name
#
# The certification authority is the cluster's own and ends with it. Keys are RSA because some clients read no others, and the
# programs of the cluster share one: whoever reads one of these files reads all of them.
set -euo pipefail

dir=$1 node=$2
server=https://10.244.0.1:6443
umask 077
mkdir -p "$dir"
cd "$dir"

# certificate NAME SUBJECT [SERVER NAMES] makes NAME.crt for the shared key.
certificate() {
	local extensions="extendedKeyUsage=clientAuth"
	[ $# -lt 3 ] || extensions=$(printf 'extendedKeyUsage=clientAuth,serverAuth\nsubjectAltName=%s' "$3")
	openssl req -new -key shared.key -subj "$2" |
		openssl x509 -req -days 3650 -CA ca.crt -CAkey ca.key -CAcreateserial -extfile <(echo "$extensions") \
			-out "$1.crt" 2>/dev/null
}

# kubeconfig NAME SUBJECT writes NAME.kubeconfig, with everything inside.
kubeconfig() {
	certificate "$1" "$2"
	cat >"$1.kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: clic
clusters:
- name: clic
  cluster: {server: "$server", certificate-authority-data: $(base64 -w0 ca.crt)}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 shared.key)}
contexts:
- name: clic
  context: {cluster: clic, user: $1}
END
}

openssl genrsa -out shared.key 2048 2>/dev/null
openssl genrsa -out service-accounts.key 2048 2>/dev/null
openssl req -x509 -newkey rsa:2048 -noenc -days 3650 -subj /CN=clic-cluster -keyout ca.key -out ca.crt 2>/dev/null
certificate kube-apiserver /CN=kube-apiserver "IP:10.244.0.1,IP:10.96.0.1,IP:127.0.0.1,DNS:localhost,DNS:kubernetes,$(
)DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
kubeconfig admin /O=system:masters/CN=admin
kubeconfig kube-controller-manager /CN=system:kube-controller-manager
kubeconfig kube-scheduler /CN=system:kube-scheduler
kubeconfig kube-proxy /CN=system:kube-proxy
kubeconfig kubelet "/O=system:nodes/CN=system:node:$node"
