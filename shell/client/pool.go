package client

import (
	"context"
	"strings"
)

// maxIdle is how many connections are kept for later calls.
const maxIdle = 4

// take gives a connection: a kept one, or a new one to the first master that accepts it.
func (c *Client) take(ctx context.Context, fresh bool) (*conn, error) {
	c.mu.Lock()
	first := c.good
	if n := len(c.idle); n > 0 && !fresh {
		k := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return k, nil
	}
	c.mu.Unlock()
	var err error
	for i := range c.addresses {
		n := (first + i) % len(c.addresses)
		var k *conn
		if k, err = c.dial(ctx, c.addresses[n]); err == nil {
			c.prefer(n)
			return k, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, &UnreachableError{Address: strings.Join(c.addresses, ", "), Source: c.config.Source, Err: err}
}

func (c *Client) dial(ctx context.Context, address string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.ConnectTimeout)
	defer cancel()
	socket, err := c.config.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return newConn(socket, address, c.service, c.config.MaxMessage), nil
}

// prefer asks the master of the index first from now on.
func (c *Client) prefer(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected = true
	if c.good != n {
		c.good = n
		c.dropIdle()
	}
}

// turn asks the next master first from now on, if there are several.
func (c *Client) turn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.addresses) > 1 {
		c.good = (c.good + 1) % len(c.addresses)
		c.dropIdle()
	}
}

func (c *Client) dropIdle() {
	for _, k := range c.idle {
		k.close()
	}
	c.idle = nil
}

func (c *Client) put(k *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || k.spoiled || len(c.idle) >= maxIdle || k.address != c.addresses[c.good] {
		k.close()
		return
	}
	c.idle = append(c.idle, k)
}
