package proxy

import (
	"crypto/sha1" //nolint:gosec // RFC 6455, section 4.2.2 asks for it
	"encoding/base64"
	"net/http"
	"strings"
)

// checkUpgrade lets through only a clean WebSocket handshake from an origin
// that may call (RFC 6455, section 4.2.1). Any other upgrade is dropped, and
// the request goes on as an ordinary one.
func (x *exchange) checkUpgrade() *refusal {
	h := x.r.Header
	if len(h["Upgrade"]) == 0 && !hasToken(h["Connection"], "upgrade") {
		return nil
	}
	websocket := x.r.ProtoMajor == 1 && len(h["Upgrade"]) == 1 && strings.EqualFold(strings.TrimSpace(h.Get("Upgrade")), "websocket") &&
		hasToken(h["Connection"], "upgrade")
	if !websocket {
		h.Del("Upgrade")
		h.Del("Connection")
		return nil
	}
	x.navigation = false
	switch key, err := base64.StdEncoding.DecodeString(h.Get("Sec-Websocket-Key")); {
	case x.r.Method != http.MethodGet || x.r.ContentLength > 0 || len(x.r.TransferEncoding) > 0:
		return refuse(badRequest, "websocket method")
	case len(h["Sec-Websocket-Version"]) != 1 || h.Get("Sec-Websocket-Version") != "13":
		return refuse(upgradeRequired, "websocket version")
	case len(h["Sec-Websocket-Key"]) != 1 || err != nil || len(key) != 16:
		return refuse(badRequest, "websocket key")
	}
	// fromOrigin would take Sec-Fetch-Site too, but a browser's handshake always
	// has an Origin (section 4.1), and nothing else stops another site's script.
	if origin := h["Origin"]; len(origin) != 1 || origin[0] != x.state.origin(x.req.Host) && !listed(origin[0], x.route.Origins) {
		x.security("websocket_origin")
		return refuse(foreign, "websocket origin")
	}
	return nil
}

// acceptKey is what a server must answer to a handshake's key (RFC 6455, section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(strings.TrimSpace(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}
