package kube

import "golang.org/x/sys/unix"

// setLowWater sets from how many bytes on a socket is readable (SO_RCVLOWAT in socket(7)).
func setLowWater(fd uintptr, bytes int) {
	_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, bytes)
}
