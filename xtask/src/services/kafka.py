# Kafka for tests: a broker, mock clusters whose faults tests ask for, and a reader of what was written, by librdkafka.
# Arguments: the port to be asked on, the broker's program and its port. A question is a line of JSON, and so is the answer.
import base64, ctypes, glob, json, os, socketserver, subprocess, sys, threading, uuid

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

port, program, broker_port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])

os.chmod(program, 0o755)
broker = subprocess.Popen([
    program, "broker", "--silent", "--storage-engine", "memory://tansu/",
    "--listener-url", f"tcp://127.0.0.1:{broker_port}", "--advertised-listener-url", f"tcp://localhost:{broker_port}",
])

beside = os.path.dirname(os.path.dirname(confluent_kafka.__file__))
rd = ctypes.CDLL(glob.glob(os.path.join(beside, "confluent_kafka.libs", "librdkafka-*.so*"))[0])
for name, result in [
    ("rd_kafka_conf_new", ctypes.c_void_p), ("rd_kafka_new", ctypes.c_void_p),
    ("rd_kafka_mock_cluster_new", ctypes.c_void_p), ("rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p),
]:
    getattr(rd, name).restype = result

clusters = []
turn = threading.Lock()


def cluster(brokers):
    text = ctypes.create_string_buffer(512)
    handle = rd.rd_kafka_new(0, ctypes.c_void_p(rd.rd_kafka_conf_new()), text, len(text))
    made = ctypes.c_void_p(rd.rd_kafka_mock_cluster_new(ctypes.c_void_p(handle), brokers))
    clusters.append(made)
    return {"cluster": len(clusters) - 1, "servers": rd.rd_kafka_mock_cluster_bootstraps(made).decode()}


def topic(cluster, name, partitions):
    done(rd.rd_kafka_mock_topic_create(clusters[cluster], name.encode(), partitions, 1))


def errors(cluster, api, codes):
    array = (ctypes.c_int * len(codes))(*codes)
    rd.rd_kafka_mock_push_request_errors_array(clusters[cluster], ctypes.c_int16(api), ctypes.c_size_t(len(codes)), array)


def down(cluster, broker):
    done(rd.rd_kafka_mock_broker_set_down(clusters[cluster], broker))


def leader(cluster, name, partition, broker):
    done(rd.rd_kafka_mock_partition_set_leader(clusters[cluster], name.encode(), partition, broker))


def announce(cluster, broker, host, port):
    done(rd.rd_kafka_mock_broker_set_host_port(clusters[cluster], broker, host.encode(), port))


def broker_topic(name, partitions):
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{broker_port}"})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)


# All records of a topic, partition by partition.
def read(servers, name):
    reader = confluent_kafka.Consumer({
        "bootstrap.servers": servers, "group.id": uuid.uuid4().hex, "enable.partition.eof": True,
        "enable.auto.commit": False, "auto.offset.reset": "earliest", "fetch.message.max.bytes": 16 << 20,
    })
    try:
        known = reader.list_topics(name, timeout=30).topics[name].partitions
        reader.assign([confluent_kafka.TopicPartition(name, partition, 0) for partition in known])
        found, ended = {partition: [] for partition in known}, set()
        while len(ended) < len(known):
            record = reader.poll(30)
            if record is None:
                raise RuntimeError("no answer in time")
            if record.error() is None:
                found[record.partition()].append({
                    "key": record.key().decode(), "value": base64.b64encode(record.value()).decode(),
                    "headers": [[name, value.decode()] for name, value in record.headers() or []],
                    "timestamp": record.timestamp()[1], "partition": record.partition(),
                })
            elif record.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                ended.add(record.partition())
            else:
                raise RuntimeError(record.error().str())
        return [record for partition in sorted(found) for record in found[partition]]
    finally:
        reader.close()


def done(code):
    if code:
        raise RuntimeError(f"librdkafka answers {code}")


CALLS = [cluster, topic, errors, down, leader, announce, broker_topic, read]
CALLS = {call.__name__: call for call in CALLS}


class Asked(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            try:
                asked = json.loads(line)
                call = CALLS[asked.pop("ask")]
                if call is read:
                    answer = call(**asked)
                else:
                    with turn:
                        answer = call(**asked)
                answer = {"answer": answer}
            except Exception as error:
                answer = {"error": repr(error)}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


try:
    Server(("127.0.0.1", port), Asked).serve_forever()
finally:
    broker.kill()
