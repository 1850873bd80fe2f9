// Sets or removes the produce quota of a client id: java Quotas.java BOOTSTRAP CLIENT_ID (BYTES_PER_SECOND|none)

import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;

class Quotas {
    public static void main(String[] words) throws Exception {
        try (var admin = Admin.create(Map.<String, Object>of("bootstrap.servers", words[0]))) {
            var client = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, words[1]));
            var rate = words[2].equals("none") ? null : Double.valueOf(words[2]);
            var change = new ClientQuotaAlteration.Op("producer_byte_rate", rate);
            admin.alterClientQuotas(List.of(new ClientQuotaAlteration(client, List.of(change)))).all().get();
        }
    }
}
