// The library under Centrifugo: every client is subscribed to the channel "all" and may publish to it.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/centrifugal/centrifuge"
)

func main() {
	deflate := len(os.Args) > 2 && os.Args[2] == "--deflate"
	node, err := centrifuge.New(centrifuge.Config{})
	check(err)
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{},
			Subscriptions: map[string]centrifuge.SubscribeOptions{"all": {}},
		}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnPublish(func(event centrifuge.PublishEvent, reply centrifuge.PublishCallback) {
			reply(centrifuge.PublishReply{}, nil)
		})
	})
	check(node.Run())

	http.Handle("/ws", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		// Level 0, the default, would only wrap; prepared messages are what it offers for broadcasts.
		Compression:                         deflate,
		CompressionLevel:                    1,
		CompressionPreparedMessageCacheSize: 1 << 20,
		CheckOrigin:                         func(*http.Request) bool { return true },
		MessageSizeLimit:                    1 << 20,
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Printf("listening on %s\n", listener.Addr())
	check(http.Serve(listener, nil))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
