package main

import "context"

// mixed compares a ward's ordinary traffic: of eight connections one loads pages,
// three load what pages consist of, and four call.
func mixed(_ context.Context, w *world, p pace, r *report) error {
	ours, stop, err := w.field()
	if err != nil {
		return err
	}
	defer stop()
	for _, proto := range protocols {
		all := asks(ours, 1<<10, proto.http2)
		for i := range all {
			page, asset := all[i].at, all[i].at
			page.Path, page.Body, page.Header = "/chart/17?size=20480", 20<<10, asNavigation(page.Header)
			asset.Path, asset.Body = "/static/chart.js?size=61440", 60<<10
			call := all[i].at
			all[i].mix = []target{page, asset, call, asset, call, asset, call, call}
		}
		c, err := compare("pages, assets and calls, "+proto.name+", 64 in flight", all, 64, p.fewer, p.round)
		if err != nil {
			return err
		}
		r.add("A mix", c)
	}
	return nil
}

// crowded compares many at once.
func crowded(_ context.Context, w *world, p pace, r *report) error {
	ours, stop, err := w.field()
	if err != nil {
		return err
	}
	defer stop()
	for _, proto := range protocols {
		c, err := compare("1 KiB, "+proto.name+", 256 in flight", asks(ours, 1<<10, proto.http2), 256, p.fewer, p.round)
		if err != nil {
			return err
		}
		r.add("Many at once", c)
	}
	return nil
}

// asNavigation returns header as a browser sends it for a page.
func asNavigation(header []string) []string {
	var out []string
	for i := 0; i < len(header); i += 2 {
		name, value := header[i], header[i+1]
		switch name {
		case "accept":
			value = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
		case "sec-fetch-mode":
			value = "navigate"
		case "sec-fetch-dest":
			value = "document"
		}
		out = append(out, name, value)
	}
	return append(out, "sec-fetch-user", "?1")
}
