package proxy

// readDevice takes what the sender at the other end says of the device.
func (x *exchange) readDevice() *refusal {
	from := Peer{Addr: x.peer, Listener: x.listener}
	if x.listener != "" {
		from.Chain = x.r.TLS.PeerCertificates // parse has seen that there is a handshake
		if err := x.state.Devices.Admit(from, x.now); err != nil {
			// Its certificate ran out, or its authority is no longer trusted. It
			// has to show another one, on another connection.
			x.security("sender_certificate")
			x.w.Header().Set("Connection", "close")
			return refuse(wrongHost, err.Error())
		}
	}
	var err error
	if x.posture, err = x.state.Devices.Read(from, x.r.Header, x.now); err != nil {
		x.security("posture_headers")
		return refuse(badRequest, err.Error())
	}
	return nil
}
