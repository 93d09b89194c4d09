package syslog

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// taken returns nil when the other side's system has confirmed every byte. A
// receiver that went at the same moment has not: what came to its closed
// socket is answered with a reset.
func taken(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var left, failed int
	var leftErr, failedErr error
	if err := raw.Control(func(fd uintptr) {
		left, leftErr = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		failed, failedErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	}); err != nil {
		return err
	}
	if err := errors.Join(leftErr, failedErr); err != nil {
		return err
	}
	if failed != 0 {
		return unix.Errno(failed)
	}
	if left > 1 { // the end of our own side may still be under way
		return errors.New("not every byte was confirmed")
	}
	return nil
}
