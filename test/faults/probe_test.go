package faults_test
import ("testing";"time";"os";"path/filepath";"runtime/pprof"
"github.com/anteroom/anteroom/keys";"github.com/anteroom/anteroom/session";"github.com/anteroom/anteroom/store"
"github.com/anteroom/anteroom/anteroomtest")
func TestProbe(t *testing.T){
 dir:="/tmp/probe-store"
 g:=&process{Gateway:&anteroomtest.Gateway{Dir:dir,Provider:anteroomtest.NewProvider(t)},t:t}
 if _,err:=os.Stat(dir);err!=nil{ os.MkdirAll(dir+"/data",0o700); b:=time.Now(); plant(t,g,50000); t.Log("plant",time.Since(b)) }
 data := filepath.Join(dir, "data")
 root, _ := keys.Open(filepath.Join(data, "keys"))
 f,_:=os.Create("/tmp/probe.prof"); pprof.StartCPUProfile(f)
 b:=time.Now()
 s, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(data, "store"), Key: root.Derive("store", 32)})
 if err!=nil{t.Fatal(err)}
 t.Log("store",time.Since(b)); b=time.Now()
 bucket, err := s.Bucket(t.Context(), "sessions")
 if err!=nil{t.Fatal(err)}
 t.Log("bucket",time.Since(b)); b=time.Now()
 n:=0
 if os.Getenv("RAW")!="" { bucket.Watch(t.Context(), func(store.Entry){n++}); t.Log("raw",n,time.Since(b)) } else {
 k, err := session.Open(t.Context(), session.Config{Bucket: bucket, Keys: []session.CookieKey{{Hash: root.Derive("cookie hash", 32), Block: root.Derive("cookie block", 32)}}})
 if err!=nil{t.Fatal(err)}
 t.Log("sessions",time.Since(b)); k.Close() }
 pprof.StopCPUProfile(); f.Close()
 s.Close()
}
