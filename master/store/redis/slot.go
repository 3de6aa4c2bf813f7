package redis

import (
	"strconv"
	"strings"
)

// slots is how many hash slots a Redis Cluster has.
const slots = 16384

// slotOf is the hash slot of a key: CRC-16/XMODEM of what stands between the first { and the next }, or of all of it where
// nothing does. After the Redis Cluster specification.
func slotOf(key string) uint16 {
	if open := strings.IndexByte(key, '{'); open >= 0 {
		if n := strings.IndexByte(key[open+1:], '}'); n > 0 {
			key = key[open+1 : open+1+n]
		}
	}
	var crc uint16
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % slots
}

// slotTags finds a short text for each slot that hashes to it.
func slotTags() *[slots]string {
	tags := new([slots]string)
	for n, missing := uint64(0), slots; missing > 0; n++ {
		tag := strconv.FormatUint(n, 36)
		if s := slotOf(tag); tags[s] == "" {
			tags[s] = tag
			missing--
		}
	}
	return tags
}
