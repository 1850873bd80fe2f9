// Adds and removes access rules: java Acls.java BOOTSTRAP (add|remove PRINCIPAL OPERATION TOPIC|GROUP|TRANSACTIONAL_ID|CLUSTER NAME)…

import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

class Acls {
    public static void main(String[] words) throws Exception {
        try (var admin = Admin.create(Map.<String, Object>of("bootstrap.servers", words[0]))) {
            for (int at = 1; at + 4 < words.length; at += 5) {
                var name = words[at + 4];
                var prefix = name.endsWith("*");
                var pattern = new ResourcePattern(
                        ResourceType.valueOf(words[at + 3]),
                        prefix ? name.substring(0, name.length() - 1) : name,
                        prefix ? PatternType.PREFIXED : PatternType.LITERAL);
                var entry = new AccessControlEntry(
                        words[at + 1], "*", AclOperation.valueOf(words[at + 2]), AclPermissionType.ALLOW);
                var binding = new AclBinding(pattern, entry);
                if (words[at].equals("add")) {
                    admin.createAcls(List.of(binding)).all().get();
                } else {
                    admin.deleteAcls(List.of(binding.toFilter())).all().get();
                }
            }
        }
    }
}
